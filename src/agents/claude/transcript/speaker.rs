//! Determines who wrote a line of a transcript.

use crate::transcript::Speaker;

/// Who wrote the text of a line. `None` if a person did, or the agent to a person.
pub fn speaker(line: &[u8]) -> Option<Speaker> {
    // Words in an unreadable line (a lone surrogate, deep nesting) do not count as a person's.
    let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { return Some(Speaker::Agent) };
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
        // JavaScript writes lone surrogates; serde_json rejects them.
        let odd = call.to_string().replacen("CronCreate", "\\ud800", 1);
        assert_eq!(found(words, &format!("{odd}\n")), Some(Speaker::Agent));
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
