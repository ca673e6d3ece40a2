//! Servers that are wrong as scenarios/mutants/auth.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
