//! Servers that are wrong as scenarios/mutants/storage.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
