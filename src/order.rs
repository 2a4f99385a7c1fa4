//! Sorts by a number. The standard library's sorts are large, and compiled once per type; these share one.

/// Sorts by a number, the lowest first. Equal numbers keep their order.
pub fn sort_by_number<T>(items: &mut Vec<T>, number: impl Fn(&T) -> u64) {
    let order = order(items.iter().map(number).collect());
    let mut rest: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(
        order
            .into_iter()
            .filter_map(|(_, index)| rest[index].take()),
    );
}

/// Sorts by a number, the highest first. Equal numbers keep their order.
pub fn sort_by_most<T>(items: &mut Vec<T>, number: impl Fn(&T) -> u64) {
    sort_by_number(items, |item| u64::MAX - number(item));
}

/// The numbers with their indices, the lowest number first.
#[inline(never)]
fn order(numbers: Vec<u64>) -> Vec<(u64, usize)> {
    let mut order: Vec<(u64, usize)> = numbers.into_iter().zip(0..).collect();
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_stay_in_their_order() {
        let mut words = ["three", "a", "ten", "b", "two", ""].to_vec();
        sort_by_number(&mut words, |word| word.len() as u64);
        assert_eq!(words, ["", "a", "b", "ten", "two", "three"]);
        sort_by_most(&mut words, |word| word.len() as u64);
        assert_eq!(words, ["three", "ten", "two", "a", "b", ""]);
    }
}
