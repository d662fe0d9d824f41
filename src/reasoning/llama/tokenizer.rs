//! Tokens of one character each.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::error::LlamaError;

/// A vocabulary in which one character is one token; longer entries, like `<bos>`, are marks that stand for no text.
///
/// ```
/// use posterity::reasoning::llama::CharTokenizer;
/// let tokenizer = CharTokenizer::from_json(r#"{"tokens": ["<bos>", "<eos>", "a", "b"]}"#)?;
/// assert_eq!(tokenizer.encode("abba")?, [2, 3, 3, 2]);
/// assert_eq!(tokenizer.decode(&[3, 2])?, "ba");
/// assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), Some(1)));
/// assert!(tokenizer.encode("abc").is_err());
/// # Ok::<(), posterity::reasoning::llama::LlamaError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CharTokenizer {
    tokens: Vec<String>,
    ids: HashMap<char, u32>,
}

#[derive(Deserialize)]
struct Vocabulary {
    tokens: Vec<String>,
}

impl CharTokenizer {
    /// Reads the content of a JSON file `{"tokens": [...]}`; a token's number is its place.
    ///
    /// # Errors
    /// [`LlamaError::Undecodable`] for text of another format, [`LlamaError::DuplicateToken`].
    pub fn from_json(text: &str) -> Result<Self, LlamaError> {
        let Vocabulary { tokens } = serde_json::from_str(text)
            .map_err(|source| LlamaError::Undecodable { what: "the vocabulary", source: source.into() })?;
        let mut seen = std::collections::HashSet::new();
        if let Some(token) = tokens.iter().find(|token| !seen.insert(token.as_str())) {
            return Err(LlamaError::DuplicateToken { token: token.clone() });
        }
        let ids = tokens.iter().enumerate().filter_map(|(id, token)| Some((only_char(token)?, id as u32))).collect();
        Ok(Self { tokens, ids })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`LlamaError::Io`], and those of [`CharTokenizer::from_json`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LlamaError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| LlamaError::Io { path: path.to_owned(), source })?;
        Self::from_json(&text)
    }

    /// Number of tokens.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// The token of a character.
    #[must_use]
    pub fn id(&self, character: char) -> Option<u32> {
        self.ids.get(&character).copied()
    }

    /// The character of a token; none for marks and for numbers outside the vocabulary.
    #[must_use]
    pub fn character(&self, token: u32) -> Option<char> {
        self.tokens.get(token as usize).and_then(|token| only_char(token))
    }

    /// The mark at the start of every text, `<bos>`.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.mark("<bos>")
    }

    /// The mark at the end of a text, `<eos>`.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.mark("<eos>")
    }

    fn mark(&self, name: &str) -> Option<u32> {
        self.tokens.iter().position(|token| token == name).map(|id| id as u32)
    }

    /// The tokens of a text, without marks.
    ///
    /// # Errors
    /// [`LlamaError::UnknownCharacter`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        let mut tokens = Vec::with_capacity(text.len());
        self.encode_to(text, &mut tokens)?;
        Ok(tokens)
    }

    /// Appends the tokens of a text.
    ///
    /// # Errors
    /// [`LlamaError::UnknownCharacter`]; the tokens before it are then appended.
    pub fn encode_to(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), LlamaError> {
        for (position, character) in text.chars().enumerate() {
            tokens.push(self.id(character).ok_or(LlamaError::UnknownCharacter { character, position })?);
        }
        Ok(())
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// [`LlamaError::UnknownToken`] for a mark or a number outside the vocabulary.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, LlamaError> {
        tokens.iter().map(|&token| self.character(token).ok_or(LlamaError::UnknownToken { token })).collect()
    }
}

fn only_char(token: &str) -> Option<char> {
    let mut characters = token.chars();
    characters.next().filter(|_| characters.next().is_none())
}
