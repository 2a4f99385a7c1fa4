//! How figures are written.

/// A number with as many digits as say something: 0.0123, 1.23, 12.3, 123, 1,234.
pub fn figure(number: f64) -> String {
    if number.abs() >= 100.0 {
        grouped(number)
    } else if number.abs() >= 10.0 {
        format!("{number:.1}")
    } else if number.abs() >= 0.1 {
        format!("{number:.2}")
    } else {
        format!("{number:.3}")
    }
}

/// A number with three digits behind the point, as far as they say something.
pub fn precise(number: f64) -> String {
    let text = if number.abs() < 10.0 {
        format!("{number:.3}")
    } else {
        figure(number)
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A ratio.
pub fn ratio(number: f64) -> String {
    format!("{number:.2}")
}

/// A share.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Bytes in MB, of 1024 times 1024.
pub fn megabytes(bytes: f64) -> String {
    format!("{:.2}", bytes / (1024.0 * 1024.0))
}

/// A whole number with its thousands apart.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number <= -0.5 {
        format!("-{text}")
    } else {
        text
    }
}

/// The same of a count.
pub fn count(number: u32) -> String {
    grouped(f64::from(number))
}
