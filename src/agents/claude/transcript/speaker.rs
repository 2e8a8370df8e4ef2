//! Determines who wrote a line of a transcript.

use crate::transcript::{Speaker, surrogates};

/// Who wrote the text of a line. `None` if a person did, or the agent to a person.
pub fn speaker(line: &[u8]) -> Option<Speaker> {
    let line = String::from_utf8_lossy(line);
    // Words in an unreadable line (torn, or deeply nested) do not count as a person's.
    let Ok(line) = serde_json::from_str::<serde_json::Value>(&surrogates::repair(&line)) else {
        return Some(Speaker::Agent);
    };
    match line["type"].as_str()? {
        "queue-operation" if line["operation"] == "enqueue" => Some(Speaker::Queue),
        "assistant" => {
            let blocks = line["message"]["content"].as_array()?;
            blocks.iter().any(|block| block["type"] == "tool_use").then_some(Speaker::Agent)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ClaudeTranscripts;
    use super::*;
    use crate::transcript::word_search::{SearchError, WordSearch};

    fn found(words: &str, lines: &str) -> Option<Speaker> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        WordSearch::new(words, &ClaudeTranscripts).search(file.path(), || false).unwrap()
    }

    #[test]
    fn queue_and_tool_calls_speak_for_others() {
        let words = "fusebox: extend session 5k because \"ü\" \\ x";
        let queue = json!({"type": "queue-operation", "operation": "enqueue", "content": words});
        let call = json!({"type": "assistant", "message": {"content": [
            {"type": "tool_use", "name": "CronCreate", "input": {"prompt": words}}]}});
        let advice = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": words}]}});
        let person = json!({"type": "user", "message": {"content": words}});
        assert_eq!(found(words, &format!("{person}\n{advice}\n")), None);
        assert_eq!(found(words, &format!("{person}\n{queue}\n")), Some(Speaker::Queue));
        assert_eq!(found(words, &format!("{advice}\n{call}\n")), Some(Speaker::Agent));
        assert_eq!(found(words, &format!("{call}")), None, "not finished yet");
        assert_eq!(found("fusebox: status", &format!("{queue}\n{call}\n")), None);
        // A cut text says nothing about who wrote the line.
        let cut = |line: &serde_json::Value| line.to_string().replacen("because", "because \\ud83d", 1);
        let cut_words = "fusebox: extend session 5k because";
        assert_eq!(found(cut_words, &format!("{}\n{}\n", cut(&person), cut(&advice))), None);
        assert_eq!(found(cut_words, &format!("{}\n", cut(&call))), Some(Speaker::Agent));
        assert_eq!(found(cut_words, &format!("{}\0{}\0", cut(&person), cut(&queue))), Some(Speaker::Queue));
        let torn = &call.to_string()[..call.to_string().len() - 1];
        assert_eq!(found(words, &format!("{torn}\n")), Some(Speaker::Agent), "nobody knows whose");
    }

    #[test]
    fn what_cannot_be_searched_is_no_evidence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.jsonl");
        let mut words = WordSearch::new("w w", &ClaudeTranscripts);
        assert_eq!(words.search(&file, || false), Ok(None), "not there yet");
        std::fs::write(&file, "{}\n{}\n").unwrap();
        assert_eq!(words.search(&file, || false), Ok(None));
        std::fs::write(&file, "{}\n").unwrap();
        assert_eq!(words.search(&file, || false), Err(SearchError::Unreadable), "it lost a line");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(words.search(&file, || false), Err(SearchError::Unreadable), "it is gone");
        assert_eq!(
            WordSearch::new("w", &ClaudeTranscripts).search(folder.path(), || false),
            Err(SearchError::Unreadable),
            "no file"
        );
    }

    #[test]
    fn a_search_goes_on_where_it_ended_and_can_be_given_up() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut words = WordSearch::new("w w", &ClaudeTranscripts);
        let queue = json!({"type": "queue-operation", "operation": "enqueue", "content": "w w"}).to_string();
        std::fs::write(file.path(), format!("{{}}\n{}", &queue[..40])).unwrap();
        assert_eq!(words.search(file.path(), || false), Ok(None));
        std::fs::write(file.path(), format!("{{}}\n{queue}\n")).unwrap();
        assert_eq!(words.search(file.path(), || false), Ok(Some(Speaker::Queue)));
        std::fs::write(file.path(), "{}\n".repeat(4 * 1024 * 1024)).unwrap();
        assert_eq!(
            WordSearch::new("w", &ClaudeTranscripts).search(file.path(), || true),
            Err(SearchError::TooLong)
        );
    }
}
