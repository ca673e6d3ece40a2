//! Servers that are wrong as scenarios/mutants/loss.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
