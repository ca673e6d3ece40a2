//! Servers that are wrong as scenarios/mutants/integrity.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
