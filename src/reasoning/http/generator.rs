//! Steps from a server: [`ServerGenerator`].

use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::reasoning::{
    CallError, ContinuationRequest, ContinuationScore, Extension, Finish, PrefixKey, SamplingPrior, Severity, Step,
    StepGenerator, StepRequest,
};

use super::client::HttpClient;
use super::dialect::{Completion, CompletionRequest, Dialect, ForcedRequest, ForcedText, LogProbStyle, Stop};
use super::error::{HttpError, Malformed};

type AnswerTest = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// What tells a draw apart from others: the prefix, the seed, greedy or not, and the limit of tokens.
type DrawKey = (PrefixKey, u64, bool, Option<u64>);

fn draw_key(request: &StepRequest<'_>) -> DrawKey {
    (request.prefix.key(), request.seed, request.greedy, request.max_tokens)
}

/// A language model behind a server.
///
/// The prompt is the text of the prefix: chat templates are written out by the caller. Each request of a batch is one HTTP request with
/// its own seed; the client sends them in parallel. A step ends with its delimiter, which stands once in its text. A context that is
/// full ends the text ([`Finish::MaxTokens`], empty).
///
/// ```no_run
/// use posterity::reasoning::http::{HttpClient, ServerGenerator, Vllm};
/// use posterity::reasoning::SamplingPrior;
/// let client = HttpClient::new("http://127.0.0.1:8000")?.concurrency(64)?;
/// let prior = SamplingPrior { temperature: 0.8, max_tokens_per_step: Some(1024), ..SamplingPrior::of_model("Qwen/Qwen2.5-1.5B-Instruct") };
/// let generator = ServerGenerator::new(client, Vllm::default(), prior)?
///     .delimiter("\n\n")?
///     .answer_when(|step| step.contains("\\boxed{"));
/// # Ok::<(), posterity::Error>(())
/// ```
pub struct ServerGenerator<D> {
    client: HttpClient,
    dialect: D,
    prior: SamplingPrior,
    delimiter: String,
    answer_stops: Vec<String>,
    answer_when: Option<AnswerTest>,
    log_probs: bool,
    group_siblings: bool,
    /// Completions that were drawn and whose delimiter got no log-probability: the same request asks for that alone.
    paid: HashMap<DrawKey, Completion>,
}

impl<D: fmt::Debug> fmt::Debug for ServerGenerator<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerGenerator")
            .field("client", &self.client)
            .field("dialect", &self.dialect)
            .field("prior", &self.prior)
            .field("delimiter", &self.delimiter)
            .field("answer_stops", &self.answer_stops)
            .field("log_probs", &self.log_probs)
            .field("group_siblings", &self.group_siblings)
            .finish_non_exhaustive()
    }
}

impl<D: Dialect> ServerGenerator<D> {
    /// A generator of steps that end with an empty line.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a temperature, nucleus or cut-off of the prior that is out of range; [`Error::Field`] if
    /// the dialect [needs](Dialect::needs_max_tokens) a limit of tokens per step and the prior has none.
    pub fn new(client: HttpClient, dialect: D, prior: SamplingPrior) -> Result<Self> {
        let settings = [
            (
                "temperature",
                prior.temperature,
                prior.temperature >= 0.0 && prior.temperature.is_finite(),
                "at least 0 and finite",
            ),
            ("top_p", prior.top_p, prior.top_p > 0.0 && prior.top_p <= 1.0, "in (0, 1]"),
            ("min_p", prior.min_p, prior.min_p >= 0.0 && prior.min_p <= 1.0, "in [0, 1]"),
            ("top_k", prior.top_k.map_or(1.0, f64::from), prior.top_k != Some(0), "at least 1"),
            ("max_tokens_per_step", 0.0, prior.max_tokens_per_step != Some(0), "at least 1"),
        ];
        for (setting, value, valid, rule) in settings {
            if !valid {
                return Err(Error::InvalidSetting { setting, value, rule });
            }
        }
        if dialect.needs_max_tokens() && prior.max_tokens_per_step.is_none() {
            return Err(Error::Field { field: "max_tokens_per_step".into(), rule: "given for this server" });
        }
        Ok(Self {
            client,
            dialect,
            prior,
            delimiter: "\n\n".into(),
            answer_stops: Vec::new(),
            answer_when: None,
            log_probs: false,
            group_siblings: false,
            paid: HashMap::new(),
        })
    }

    /// Sets what ends a step.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for an empty text.
    pub fn delimiter(mut self, delimiter: &str) -> Result<Self> {
        self.delimiter = non_empty(delimiter, "delimiter")?;
        Ok(self)
    }

    /// Adds a text that ends an answer: a step that ends with it has [`Finish::Answer`].
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for an empty text.
    pub fn answer_stop(mut self, stop: &str) -> Result<Self> {
        self.answer_stops.push(non_empty(stop, "answer_stop")?);
        Ok(self)
    }

    /// A step for which this holds has [`Finish::Answer`] where it would have [`Finish::Step`].
    #[must_use]
    pub fn answer_when(mut self, test: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.answer_when = Some(Box::new(test));
        self
    }

    /// Asks for log-probabilities. On llama.cpp each step then takes a second, short request for that of its delimiter.
    ///
    /// What the server reports is either the model's own or that of the draw ([`Dialect::log_prob_style`]); the other one is known only
    /// if the prior is the model itself.
    #[must_use]
    pub fn log_probs(mut self) -> Self {
        self.log_probs = true;
        self
    }

    /// Draws steps of equal prefixes by one request, which reads the prompt once, where the dialect can.
    ///
    /// A step then depends on its batch: its seed is that of the first sibling and its place among them.
    #[must_use]
    pub fn group_siblings(mut self) -> Self {
        self.group_siblings = true;
        self
    }

    fn max_tokens(&self, request: &StepRequest<'_>) -> Option<u64> {
        let limits = [self.prior.max_tokens_per_step, request.max_tokens];
        limits.into_iter().flatten().min()
    }

    /// The indices in groups of requests that go together: equal prefixes that are drawn alike.
    fn groups(&self, requests: &[StepRequest<'_>], wanted: &[usize]) -> Vec<Vec<usize>> {
        let most = if self.group_siblings { self.dialect.max_siblings().max(1) } else { 1 };
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut open = HashMap::new();
        for &index in wanted {
            let request = &requests[index];
            let key = (request.prefix.key(), request.max_tokens);
            let alone = most == 1 || request.greedy || self.prior.temperature == 0.0;
            match open.get(&key) {
                Some(&group) if !alone => {
                    let members: &mut Vec<usize> = &mut groups[group];
                    members.push(index);
                    if members.len() == most {
                        open.remove(&key);
                    }
                }
                _ => {
                    if !alone {
                        open.insert(key, groups.len());
                    }
                    groups.push(vec![index]);
                }
            }
        }
        groups
    }

    /// Draws the steps of groups of requests.
    fn draw(&self, requests: &[StepRequest<'_>], groups: &[Vec<usize>]) -> Vec<std::result::Result<Vec<Completion>, HttpError>> {
        let stop: Vec<_> = std::iter::once(&self.delimiter).chain(&self.answer_stops).cloned().collect();
        let prompts: Vec<_> = groups.iter().map(|group| requests[group[0]].prefix.text()).collect();
        let asked: Vec<_> = groups
            .iter()
            .zip(&prompts)
            .map(|(group, prompt)| CompletionRequest {
                prompt,
                prior: &self.prior,
                max_tokens: self.max_tokens(&requests[group[0]]),
                greedy: requests[group[0]].greedy,
                stop: &stop,
                seed: requests[group[0]].seed,
                n: group.len(),
                log_probs: self.log_probs.then_some(0),
            })
            .collect();
        let calls: Vec<_> = asked.iter().map(|request| self.dialect.complete(request)).collect();
        self.client.post_all(&calls, |index, reply| self.dialect.read_completions(&asked[index], &reply))
    }

    /// The step that a completion is, and its log-probability as the server reports it.
    fn step(&self, completion: Completion, greedy: bool, rest: Option<f64>) -> Step {
        let log_prob = completion.log_probs.map(|tokens| tokens.iter().sum::<f64>() + rest.unwrap_or(0.0));
        let mut text = completion.text;
        let finish = match completion.stop {
            Stop::End => Finish::Eos,
            Stop::Limit => Finish::MaxTokens,
            Stop::Text(stop) => {
                text.push_str(&stop);
                let answers = self.answer_stops.contains(&stop) || self.answer_when.as_ref().is_some_and(|test| test(&text));
                if answers { Finish::Answer } else { Finish::Step }
            }
        };
        let raw = self.dialect.log_prob_style() == LogProbStyle::Raw;
        let is_model = self.prior.is_model();
        Step {
            text,
            finish,
            n_tokens: completion.n_tokens,
            token_ids: completion.token_ids,
            // A greedy step is certain.
            log_sampling: if greedy { log_prob.map(|_| 0.0) } else { log_prob.filter(|_| !raw || is_model) },
            log_model: log_prob.filter(|_| raw || is_model && !greedy),
        }
    }
}

impl<D: Dialect> StepGenerator for ServerGenerator<D> {
    fn sampling_prior(&self) -> SamplingPrior {
        self.prior.clone()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<std::result::Result<Extension, CallError>> {
        let mut replies: Vec<Option<std::result::Result<Completion, HttpError>>> =
            requests.iter().map(|request| self.paid.remove(&draw_key(request)).map(Ok)).collect();
        let wanted: Vec<_> = (0..requests.len())
            .filter(|&index| replies[index].is_none() && self.max_tokens(&requests[index]) != Some(0))
            .collect();
        let groups = self.groups(requests, &wanted);
        let mut refused = Vec::new();
        for (group, drawn) in groups.iter().zip(self.draw(requests, &groups)) {
            match drawn {
                Ok(completions) => {
                    for (&index, completion) in group.iter().zip(completions) {
                        replies[index] = Some(Ok(completion));
                    }
                }
                Err(error) if group.len() == 1 => replies[group[0]] = Some(Err(error)),
                // The server is gone: asking for each one would only wait again.
                Err(error) if error.is_transient() && !matches!(error, HttpError::NotSent) => {
                    for &index in &group[1..] {
                        replies[index] = Some(Err(HttpError::NotSent));
                    }
                    replies[group[0]] = Some(Err(error));
                }
                // Servers limit the number of texts of one request.
                Err(_) => refused.extend(group.iter().map(|&index| vec![index])),
            }
        }
        for (group, drawn) in refused.iter().zip(self.draw(requests, &refused)) {
            replies[group[0]] = Some(drawn.and_then(|mut drawn| {
                let n = drawn.len();
                drawn.pop().ok_or(HttpError::Malformed(Malformed::Count { what: "choices", expected: 1, found: n }))
            }));
        }
        // What would be asked for is the model's own, and not to be added to what is of the draw.
        if self.dialect.log_prob_style() == LogProbStyle::Processed && !self.prior.is_model() {
            for completion in replies.iter_mut().flatten().flatten().filter(|completion| uncovered(completion).is_some()) {
                completion.log_probs = None;
            }
        }
        let rests = self.rests(requests, &replies);
        let finished = replies.into_iter().zip(rests).zip(requests).map(|((reply, rest), request)| match reply {
            // Nothing may be written, or nothing fits.
            None | Some(Err(HttpError::ContextFull { .. })) => {
                Ok(Extension::new(Step { n_tokens: 0, ..Step::new("", Finish::MaxTokens) }))
            }
            Some(Err(error)) => Err(error.into()),
            Some(Ok(mut completion)) => {
                let mut prompt_tokens = completion.prompt_tokens;
                let rest = match rest {
                    None => None,
                    Some(Ok(forced)) => {
                        prompt_tokens += forced.tokens;
                        Some(forced.pieces.iter().flatten().sum())
                    }
                    // The step is there, its log-probability cannot be had.
                    Some(Err(HttpError::ContextFull { .. })) => {
                        completion.log_probs = None;
                        None
                    }
                    Some(Err(error)) => {
                        if error.severity() != Severity::Slot {
                            self.paid.insert(draw_key(request), completion);
                        }
                        return Err(error.into());
                    }
                };
                Ok(Extension { step: self.step(completion, request.greedy, rest), prompt_tokens })
            }
        });
        finished.collect()
    }

    /// Only the model's own log-probabilities can be had of a given text.
    fn can_score(&self) -> bool {
        self.prior.is_model()
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<std::result::Result<ContinuationScore, CallError>> {
        if !self.can_score() {
            let unsupported = || CallError::unsupported("log-probabilities of given text under temperature or truncation");
            return requests.iter().map(|_| Err(unsupported())).collect();
        }
        let prompts: Vec<_> = requests.iter().map(|request| request.prefix.text()).collect();
        let pieces: Vec<Vec<_>> =
            requests.iter().map(|request| request.steps.iter().map(|step| step.text.as_str()).collect()).collect();
        let asked: Vec<_> = requests
            .iter()
            .zip(prompts.iter().zip(&pieces))
            .map(|(request, (prompt, pieces))| ForcedRequest {
                prompt,
                model: &self.prior.model,
                pieces,
                end: request.steps.last().is_some_and(|step| step.finish == Finish::Eos),
            })
            .collect();
        let scores = force_all(&self.client, &self.dialect, &asked);
        let scores = scores.into_iter().zip(requests).map(|(forced, request)| {
            let forced = forced?;
            let mut log_model: Vec<f64> = forced.pieces.iter().map(|tokens| tokens.iter().sum()).collect();
            if let (Some(end), Some(last)) = (forced.end, log_model.last_mut()) {
                *last += end;
            }
            if log_model.len() != request.steps.len() {
                let found = log_model.len();
                return Err(HttpError::from(Malformed::Count { what: "steps", expected: request.steps.len(), found }).into());
            }
            Ok(ContinuationScore { log_sampling: log_model.clone(), log_model, tokens: forced.tokens })
        });
        scores.collect()
    }
}

impl<D: Dialect> ServerGenerator<D> {
    /// Log-probabilities of what the server's own do not cover: the delimiter, on some servers, or a token cut short by it.
    fn rests(
        &self,
        requests: &[StepRequest<'_>],
        replies: &[Option<std::result::Result<Completion, HttpError>>],
    ) -> Vec<Option<std::result::Result<ForcedText, HttpError>>> {
        let mut places = Vec::new();
        let mut texts = Vec::new();
        for (index, (request, reply)) in requests.iter().zip(replies).enumerate() {
            let Some(Ok(completion)) = reply else { continue };
            if let Some((covered, rest)) = uncovered(completion) {
                texts.push((format!("{}{covered}", request.prefix.text()), rest));
                places.push(index);
            }
        }
        let pieces: Vec<_> = texts.iter().map(|(_, rest)| [rest.as_str()]).collect();
        let asked: Vec<_> = texts
            .iter()
            .zip(&pieces)
            .map(|((prompt, _), pieces)| ForcedRequest { prompt, model: &self.prior.model, pieces, end: false })
            .collect();
        let mut rests: Vec<_> = requests.iter().map(|_| None).collect();
        for (index, forced) in places.into_iter().zip(force_all(&self.client, &self.dialect, &asked)) {
            rests[index] = Some(forced);
        }
        rests
    }
}

/// The text that a completion's log-probabilities cover, and the rest where there is one.
fn uncovered(completion: &Completion) -> Option<(String, String)> {
    let Completion { text, stop: Stop::Text(stop), log_probs: Some(_), covered, .. } = completion else { return None };
    let mut written = format!("{text}{stop}");
    let rest = written.get(*covered..)?.to_owned();
    written.truncate(*covered);
    (!rest.is_empty()).then_some((written, rest))
}

/// Log-probabilities of given texts: as many results as requests.
pub(super) fn force_all<D: Dialect>(
    client: &HttpClient,
    dialect: &D,
    requests: &[ForcedRequest<'_>],
) -> Vec<std::result::Result<ForcedText, HttpError>> {
    let call = |request: &ForcedRequest<'_>| {
        if !request.end && request.pieces.iter().all(|piece| piece.is_empty()) {
            let pieces = vec![Vec::new(); request.pieces.len()];
            return Err(Ok(ForcedText { pieces, end: None, tokens: 0 }));
        }
        dialect.force(request).ok_or(Err(HttpError::NoEndOfText))
    };
    client.post_some(requests.iter().map(call).collect(), |index, reply| dialect.read_forced(&requests[index], &reply))
}

fn non_empty(text: &str, what: &'static str) -> Result<String> {
    if text.is_empty() { Err(Error::Empty { what }) } else { Ok(text.to_owned()) }
}
