//! One Markdown page: its links, heading anchors, code and tables.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A parsed page.
#[derive(Debug, Default)]
pub struct Page {
    /// Relative to the root of the repository.
    pub name: PathBuf,
    /// The targets of its links, as written.
    pub links: Vec<String>,
    /// Anchors of its headings, by GitHub's rules.
    pub anchors: BTreeSet<String>,
    /// Code in sentences and cells.
    pub codes: Vec<String>,
    blocks: Vec<(String, String)>,
    tables: Vec<(String, Vec<Row>)>,
}

/// The cells of a row.
pub type Row = Vec<Cell>;

/// A cell: its text, and the pieces of code in it.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// The whole text.
    pub text: String,
    /// The code.
    pub code: Vec<String>,
}

/// A path without `.` and `..`.
pub fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
        plain
    })
}

/// GitHub's anchor of a heading: lower case, spaces as `-`, everything else removed.
fn anchor(heading: &str) -> String {
    let small = heading.to_lowercase();
    let kept = small.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

impl Page {
    /// Reads a page of the repository.
    pub fn read(root: &Path, name: &Path) -> Self {
        let text =
            std::fs::read_to_string(root.join(name)).unwrap_or_else(|e| panic!("{}: {e}", name.display()));
        Self { name: name.to_owned(), ..Self::parse(&text) }
    }

    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut headings: HashMap<String, usize> = HashMap::new();
        // What is open: a block with its language, a heading's text, a cell.
        let (mut block, mut heading, mut cell) = (None::<(String, String)>, None::<String>, None::<Cell>);
        let mut under = String::new();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.to_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    under = anchor(&heading.take().unwrap_or_default());
                    let before = headings.entry(under.clone()).or_default();
                    page.anchors.insert(if *before == 0 {
                        under.clone()
                    } else {
                        format!("{under}-{before}")
                    });
                    *before += 1;
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some((language, String::new()));
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Table(_)) => page.tables.push((under.clone(), Vec::new())),
                Event::Start(Tag::TableRow) => page.tables.last_mut().unwrap().1.push(Row::new()),
                Event::Start(Tag::TableCell) => cell = Some(Cell::default()),
                // The header is not a row.
                Event::End(TagEnd::TableCell) => {
                    if let Some(row) = page.tables.last_mut().unwrap().1.last_mut() {
                        row.extend(cell.take());
                    }
                }
                Event::Text(text) => {
                    if let Some((_, block)) = &mut block {
                        block.push_str(&text);
                    }
                    heading.iter_mut().for_each(|heading| heading.push_str(&text));
                    cell.iter_mut().for_each(|cell| cell.text.push_str(&text));
                }
                Event::Code(code) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&code));
                    if let Some(cell) = &mut cell {
                        cell.text.push_str(&code);
                        cell.code.push(code.to_string());
                    }
                    page.codes.push(code.to_string());
                }
                _ => {}
            }
        }
        page
    }

    /// The fenced blocks of a language.
    pub fn blocks<'p>(&'p self, language: &'p str) -> impl Iterator<Item = &'p str> {
        self.blocks.iter().filter(move |(of, _)| of == language).map(|(_, text)| text.as_str())
    }

    /// The rows of the first table under a heading, given by its anchor.
    pub fn table(&self, heading: &str) -> Vec<Row> {
        let found = self.tables.iter().find(|(under, _)| under == heading);
        found.unwrap_or_else(|| panic!("no table under {heading}")).1.clone()
    }
}

#[test]
fn headings_are_named_as_github_names_them() {
    let page =
        Page::parse("# What's `new`, in 2.0?\n\n## A -- b_c\n\n## A -- b_c\n\n```sh\n# no heading\n```\n");
    let anchors: Vec<&str> = page.anchors.iter().map(String::as_str).collect();
    assert_eq!(anchors, ["a----b_c", "a----b_c-1", "whats-new-in-20"]);
}
