//! Servers that are wrong as scenarios/mutants/broadcast.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
