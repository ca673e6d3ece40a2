//! Servers that are wrong as scenarios/mutants/heartbeat.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
