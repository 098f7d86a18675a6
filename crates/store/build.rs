//! A new migration file must reach the embedded list; cargo does not see that by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
