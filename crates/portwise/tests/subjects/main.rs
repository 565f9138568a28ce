//! Who may bind 127.0.0.1:80: predicted, and then really tried by such a process. The table names
//! the ways to the right that `capabilities(7)` knows, and what takes it.
//!
//! Needs root. Everything happens in namespaces made here, and what is started ends with this
//! program. It has a `main` of its own because it is also the program that is started.

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod table;

#[cfg(target_os = "linux")]
fn main() {
    if std::env::var_os(agent::BIND).is_some() {
        println!("{}", agent::bind());
    } else if let Ok(steps) = std::env::var(agent::STEPS) {
        agent::run(&steps);
    } else if std::env::args().any(|argument| argument == "--list") {
        println!("predicted_and_tried: test");
    } else {
        table::predicted_and_tried();
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
