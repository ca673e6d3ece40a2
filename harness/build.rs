//! Builds again when a file is added below `scenarios/`: all of them are embedded.

fn main() {
    println!("cargo:rerun-if-changed=../scenarios");
}
