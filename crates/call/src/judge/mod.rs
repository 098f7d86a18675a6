//! Judges an ended call against what must always hold. Runs in tests and over every stored call.
