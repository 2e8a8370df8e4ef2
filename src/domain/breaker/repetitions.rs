//! How many repetitions a prompt asks for: "run it 20 times" is an order, not a loop. Only the number is kept.

/// Larger numbers are figures of speech.
const MAX_REPETITIONS: u32 = 1_000;

/// Nouns that are counted.
const REPETITIONS: [&str; 13] = [
    "times",
    "runs",
    "repeats",
    "repetitions",
    "rounds",
    "measurements",
    "samples",
    "tries",
    "attempts",
    "executions",
    "mal",
    "iterations",
    "more",
];

const NUMBERS: [(&str, u32); 14] = [
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("twelve", 12),
    ("fifteen", 15),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("hundred", 100),
    ("dozen", 12),
];

/// How many repetitions a prompt asks for; 0 if none.
pub fn requested_repetitions(prompt: &str) -> u32 {
    let words: Vec<String> = prompt
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let number = |word: &str| {
        let named = || NUMBERS.iter().find(|(name, _)| *name == word).map(|(_, n)| *n);
        word.parse().ok().or_else(named).filter(|n| *n <= MAX_REPETITIONS)
    };
    let asked = words.iter().enumerate().filter_map(|(i, word)| {
        // "20 times", "20x", "ten more runs", "twenty separate test runs".
        if let Some(n) = word.strip_suffix('x').and_then(number) {
            return Some(n);
        }
        let n = number(word)?;
        words[i + 1..].iter().take(4).any(|next| REPETITIONS.contains(&next.as_str())).then_some(n)
    });
    asked.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_repetitions() {
        for (prompt, asked) in [
            ("Run it 20 times, one by one", 20),
            ("measure ten times again", 10),
            ("do ten more test runs", 10),
            ("run the bench 7x", 7),
            ("fix the 20 failing tests", 0),
            ("times are hard", 0),
            ("run it 1000000 times", 0),
            ("try 3 times, then 15 runs", 15),
            ("", 0),
        ] {
            assert_eq!(requested_repetitions(prompt), asked, "{prompt}");
        }
    }
}
