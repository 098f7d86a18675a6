//! The pure crates do no I/O: what would let them is not in their dependency trees, transitive
//! dependencies included.

use std::process::Command;

/// Runtimes, sockets, databases, HTTP, randomness.
const FORBIDDEN: [&str; 14] = [
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "axum",
    "hyper",
    "reqwest",
    "sqlx",
    "rusqlite",
    "rand",
    "getrandom",
    "chrono",
    "rsipstack",
];

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for package in [
        "switchhook-model",
        "switchhook-call",
        "switchhook-conversation",
    ] {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
            .args(["--format", "{p}", "--package", package])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs the tests, so it is there");
        let tree = String::from_utf8(output.stdout).expect("names are ASCII");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo tree failed: {errors}");
        let names: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(
            names.contains(&package) && names.contains(&"serde"),
            "{tree}"
        );
        for forbidden in FORBIDDEN {
            assert!(
                !names.contains(&forbidden),
                "{package} depends on {forbidden}: move what needs it into the gateway"
            );
        }
    }
}
