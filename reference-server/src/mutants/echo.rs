//! Servers that are wrong as scenarios/mutants/echo.yaml says.

use super::Mutant;

pub(super) const MUTANTS: &[Mutant] = &[];
