//! Servers that are wrong as scenarios/mutants/leakage.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
