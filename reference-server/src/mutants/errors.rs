//! Servers that are wrong as scenarios/mutants/errors.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
