//! Lists of processors.
//!
//! Stage `spec`, host side, pure. Source: cpuset(7), "List format".

/// The largest processor number plus one that a kernel can be built with.
pub(super) const MAX_CPUS: u32 = 8192;

/// Whether `list` is numbers and ranges, separated by commas.
pub(super) fn is_cpu_list(list: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|cpu| digits && *cpu < MAX_CPUS)
    };
    list.split(',').all(|item| match item.split_once('-') {
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        }
        None => number(item).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::is_cpu_list;

    #[test]
    fn cpu_lists_follow_the_kernel() {
        for list in ["0", "0-3,5", "7,1-1", "8191"] {
            assert!(is_cpu_list(list), "{list}");
        }
        for list in
            ["", ",", "0,", "3-1", "-1", "1-", "0 ", "+1", "a", "8192", "0-3:2", "4294967296"]
        {
            assert!(!is_cpu_list(list), "{list}");
        }
    }
}
