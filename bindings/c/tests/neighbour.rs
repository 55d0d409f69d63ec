//! Another static library in Rust, with a standard library of its own. It
//! unwinds, so that the two personalities meet.

/// Seven, by way of a panic.
#[unsafe(no_mangle)]
pub extern "C" fn neighbour() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let numbers: Vec<i32> = (0..5).collect();
    std::panic::catch_unwind(|| numbers[std::hint::black_box(9)]).unwrap_or(7)
}
