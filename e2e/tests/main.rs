//! The real binary against real phones, as a caller, a human agent and an operator meet it.

mod harness;
