//! Log-probabilities of given steps, by teacher forcing.

use std::collections::HashMap;

use super::error::LlamaError;
use super::generator::LlamaGenerator;
use super::model::Outputs;
use crate::reasoning::error::CallError;
use crate::reasoning::generator::{ContinuationRequest, ContinuationScore};
use crate::reasoning::prefix::{Finish, Prefix, PrefixKey, Step};

/// A text of the tree that the requests of a call make together: a prefix, or one and some steps. Equal texts are read once.
struct Node {
    row: usize,
    /// Tokens of the text; all but the last one are read.
    n_tokens: usize,
    /// The last token, which what follows is read after.
    last: u32,
    /// Of the last step.
    log_sampling: f64,
    log_model: f64,
}

/// Where a request stands in the tree.
struct Walk {
    /// The text so far, and its node; no node once a step could not be written.
    prefix: Prefix,
    node: Option<usize>,
    score: ContinuationScore,
}

impl LlamaGenerator {
    pub(super) fn score_batch(
        &mut self,
        requests: &[ContinuationRequest<'_>],
    ) -> Result<Vec<Result<ContinuationScore, CallError>>, LlamaError> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut by_key: HashMap<PrefixKey, usize> = HashMap::new();
        let mut walks = self.score_prefixes(requests, &mut nodes, &mut by_key)?;
        let n_levels = requests.iter().map(|request| request.steps.len()).max().unwrap_or(0);
        for level in 0..n_levels {
            self.batch.clear();
            // The nodes of this level: (node, tokens of its step).
            let mut read: Vec<(usize, Vec<u32>, &Step)> = Vec::new();
            for (walk, request) in walks.iter_mut().zip(requests) {
                let (Ok(walk), Some(step)) = (walk, request.steps.get(level)) else { continue };
                walk.prefix = walk.prefix.extended((*step).clone());
                let Some(parent) = walk.node else { continue };
                if let Some(&node) = by_key.get(&walk.prefix.key()) {
                    walk.node = Some(node);
                    continue;
                }
                let tokens = self.step_tokens(step, nodes[parent].n_tokens);
                walk.node = tokens.as_ref().map(|_| nodes.len());
                let Some(tokens) = tokens else { continue };
                let row = self.rows.fork(nodes[parent].row, nodes[parent].n_tokens)?;
                self.rows.append(row, &tokens);
                let (last, before) = tokens.split_last().map_or((nodes[parent].last, &[][..]), |(last, before)| (*last, before));
                if !tokens.is_empty() {
                    let mut input = vec![nodes[parent].last];
                    input.extend_from_slice(before);
                    self.batch.push(row, &input);
                    walk.score.tokens += tokens.len() as u64;
                }
                by_key.insert(walk.prefix.key(), nodes.len());
                let n_tokens = nodes[parent].n_tokens + tokens.len();
                read.push((nodes.len(), tokens, step));
                nodes.push(Node { row, n_tokens, last, log_sampling: 0.0, log_model: 0.0 });
            }
            self.read_level(&read, &mut nodes)?;
            for (walk, request) in walks.iter_mut().zip(requests) {
                let Ok(walk) = walk else { continue };
                if level < request.steps.len() {
                    let node = walk.node.map(|node| &nodes[node]);
                    walk.score.log_sampling.push(node.map_or(f64::NEG_INFINITY, |node| node.log_sampling));
                    walk.score.log_model.push(node.map_or(f64::NEG_INFINITY, |node| node.log_model));
                }
            }
        }
        for node in &nodes {
            self.rows.release(node.row);
        }
        Ok(walks.into_iter().map(|walk| walk.map(|walk| walk.score).map_err(CallError::from)).collect())
    }

    /// Reads the prefixes up to their last tokens.
    fn score_prefixes(
        &mut self,
        requests: &[ContinuationRequest<'_>],
        nodes: &mut Vec<Node>,
        by_key: &mut HashMap<PrefixKey, usize>,
    ) -> Result<Vec<Result<Walk, LlamaError>>, LlamaError> {
        self.batch.clear();
        let mut walks = Vec::with_capacity(requests.len());
        for request in requests {
            let mut tokens = 0;
            let node = match by_key.get(&request.prefix.key()) {
                Some(&node) => Ok(node),
                None if request.prefix.is_finished() => Err(LlamaError::Finished),
                None => self.rows.place(request.prefix, &self.tokenizer, self.bos, true).map(|placed| {
                    let text = self.rows.tokens(placed.row);
                    let last = text[placed.n_tokens - 1];
                    let missing = &text[placed.n_cached..placed.n_tokens - 1];
                    if !missing.is_empty() {
                        self.batch.push(placed.row, missing);
                    }
                    tokens = placed.n_new as u64;
                    by_key.insert(request.prefix.key(), nodes.len());
                    nodes.push(Node { row: placed.row, n_tokens: placed.n_tokens, last, log_sampling: 0.0, log_model: 0.0 });
                    nodes.len() - 1
                }),
            };
            walks.push(node.map(|node| Walk {
                prefix: request.prefix.clone(),
                node: Some(node),
                score: ContinuationScore { log_sampling: Vec::new(), log_model: Vec::new(), tokens },
            }));
        }
        if self.batch.n_entries() > 0 {
            self.model.forward(&self.batch, &mut self.rows.cache, Outputs::Last)?;
        }
        Ok(walks)
    }

    /// The tokens of a step after a text of `n_before` tokens; none if the model cannot write it there.
    fn step_tokens(&self, step: &Step, n_before: usize) -> Option<Vec<u32>> {
        let mut tokens = self.tokenizer.encode(&step.text).ok()?;
        if step.finish == Finish::Eos {
            tokens.push(self.eos?);
        }
        (n_before + tokens.len() <= self.model.config().max_positions).then_some(tokens)
    }

    /// Reads the steps of one level of the tree.
    fn read_level(&mut self, read: &[(usize, Vec<u32>, &Step)], nodes: &mut [Node]) -> Result<(), LlamaError> {
        // Steps may be empty, all of them.
        let logits: Vec<f32> = if self.batch.n_entries() > 0 {
            self.model.forward(&self.batch, &mut self.rows.cache, Outputs::All)?.iter().copied().collect()
        } else {
            Vec::new()
        };
        let n_outputs = self.model.config().output_size();
        let mut lines = logits.chunks_exact(n_outputs);
        for (node, tokens, step) in read {
            let node = &mut nodes[*node];
            for (&token, line) in tokens.iter().zip(&mut lines) {
                self.next.set(line, &self.allowed, &self.prior)?;
                node.log_model += self.next.log_model(token);
                node.log_sampling += self.next.log_sampling(token);
            }
            if !self.is_one_step(step, tokens, node.n_tokens) {
                node.log_sampling = f64::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// True if a step ends where the generator would have ended it, and for the reason that it gives.
    fn is_one_step(&self, step: &Step, tokens: &[u32], n_text: usize) -> bool {
        let limit = self.prior.max_tokens_per_step.unwrap_or(u64::MAX);
        let n_tokens = tokens.len() as u64;
        let Some((&last, before)) = tokens.split_last() else { return step.finish == Finish::MaxTokens };
        let goes_on = |token: &u32| *token != self.delimiter && Some(*token) != self.eos;
        if n_tokens > limit || !before.iter().all(goes_on) {
            return false;
        }
        // A budget may have cut a step off at any length.
        let would = self.finish(last, &step.text, n_tokens, n_tokens);
        match step.finish {
            // The decoder writes it over the generator's reason.
            Finish::MaxSteps => n_tokens == limit || n_text == self.model.config().max_positions || would == Some(Finish::Step),
            reason => would == Some(reason),
        }
    }
}
