//! Servers that are wrong as scenarios/mutants/reconnect.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
