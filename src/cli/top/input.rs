//! A line of text that a person types.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::cli::render::fit::width;

/// The longest text, in characters.
const MAX_CHARS: usize = 500;

/// The text and the position of the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineInput {
    chars: Vec<char>,
    cursor: usize,
}

impl LineInput {
    /// The text without spaces around it.
    pub fn text(&self) -> String {
        self.chars.iter().collect::<String>().trim().to_owned()
    }

    /// Handles a key. Returns whether it edits.
    pub fn on_key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if control => {
                self.chars.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if control => self.delete_word(),
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.chars.len(),
            KeyCode::Char(c) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
                self.insert(c);
            }
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.chars.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.chars.len() => {
                self.chars.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.chars.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.chars.len(),
            _ => return false,
        }
        true
    }

    /// Inserts a pasted text. Its lines become one.
    pub fn paste(&mut self, text: &str) {
        for c in text.trim_end_matches(['\r', '\n']).chars() {
            self.insert(if c.is_control() { ' ' } else { c });
        }
    }

    fn insert(&mut self, c: char) {
        if self.chars.len() < MAX_CHARS && !c.is_control() {
            self.chars.insert(self.cursor, c);
            self.cursor += 1;
        }
    }

    fn delete_word(&mut self) {
        let before = &self.chars[..self.cursor];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
        let start = before[..end].iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1);
        self.chars.drain(start..self.cursor);
        self.cursor = start;
    }

    /// The part around the cursor that fits `columns`, and the cursor's column in it.
    pub fn shown(&self, columns: usize) -> (String, usize) {
        let of = |from: usize, to: usize| self.chars[from..to].iter().collect::<String>();
        let mut from = 0;
        // One column is for the cursor.
        while from < self.cursor && width(&of(from, self.cursor)) + 1 > columns {
            from += 1;
        }
        let mut to = self.cursor;
        while to < self.chars.len() && width(&of(from, to + 1)) < columns {
            to += 1;
        }
        (of(from, to), width(&of(from, self.cursor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[KeyCode]) -> LineInput {
        let mut input = LineInput::default();
        for key in keys {
            input.on_key(KeyEvent::new(*key, KeyModifiers::NONE));
        }
        input
    }

    #[test]
    fn text_can_be_edited_anywhere() {
        use KeyCode::{Backspace, Char, Delete, End, Home, Left, Right};
        let input = typed(&[Char('a'), Char('c'), Left, Char('b'), End, Char('x'), Backspace]);
        assert_eq!((input.text().as_str(), input.cursor), ("abc", 3));
        let input = typed(&[Char('a'), Char('b'), Home, Delete, Backspace, Left, Right, Right, Delete]);
        assert_eq!((input.text().as_str(), input.cursor), ("b", 1));
    }

    #[test]
    fn a_paste_is_one_line_without_control_characters() {
        let mut input = LineInput::default();
        input.paste("two\nlines\u{1b}[2J\n");
        assert_eq!(input.text(), "two lines [2J");
        input.paste(&"x".repeat(2 * MAX_CHARS));
        assert_eq!(input.chars.len(), MAX_CHARS);
    }

    #[test]
    fn words_and_lines_can_be_deleted() {
        let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        let mut input = LineInput::default();
        input.paste("one two  ");
        input.on_key(control('w'));
        assert_eq!(input.chars.iter().collect::<String>(), "one ");
        input.on_key(control('u'));
        assert_eq!(input, LineInput::default());
        assert!(!input.on_key(control('x')), "not a letter");
    }

    #[test]
    fn the_part_around_the_cursor_is_shown() {
        let mut input = LineInput::default();
        input.paste("項目abcdef");
        assert_eq!(input.shown(20), ("項目abcdef".into(), 10));
        assert_eq!(input.shown(5), ("cdef".into(), 4));
        input.cursor = 0;
        assert_eq!(input.shown(5), ("項目".into(), 0));
    }
}
