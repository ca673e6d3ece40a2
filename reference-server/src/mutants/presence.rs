//! Servers that are wrong as scenarios/mutants/presence.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
