//! When a request is sent again, and how long that may take.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::rng::{Purpose, Stream};

use super::error::HttpError;

/// How often and how long a request is retried.
///
/// Attempt k + 1 is sent after `backoff` · 2ᵏ, at most `max_wait`, times a uniform draw from \[1/2, 1\]; or after what the server's
/// `Retry-After` asks for, at most `max_wait`, if that is longer. A retry sends the same bytes, seed included, so that a reply that was
/// lost on its way is drawn again as it was. A reply that cannot be read is asked for once more only.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Most retries of one request; 0 for none.
    pub max_retries: u32,
    /// Wait before the first retry, before jitter.
    pub backoff: Duration,
    /// Longest wait before a retry, whatever the server asks for.
    pub max_wait: Duration,
    /// Longest time for one attempt, from connecting to the last byte of the reply.
    pub attempt_timeout: Duration,
    /// Longest time for one request with all its retries. A wait that would end later is not begun.
    pub total_timeout: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for RetryPolicy {
    /// Six retries, half a second at first and at most 30 seconds; 2 minutes for an attempt, 10 for a request.
    fn default() -> Self {
        Self {
            max_retries: 6,
            backoff: Duration::from_millis(500),
            max_wait: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(120),
            total_timeout: Duration::from_secs(600),
            seed: 0,
        }
    }
}

impl RetryPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a time limit of 0.
    pub fn validate(&self) -> Result<()> {
        for (setting, limit) in [("attempt_timeout", self.attempt_timeout), ("total_timeout", self.total_timeout)] {
            if limit.is_zero() {
                return Err(Error::InvalidSetting { setting, value: 0.0, rule: "positive" });
            }
        }
        Ok(())
    }

    /// Wait before retry number `retry`, counted from 0, of request number `request`.
    #[must_use]
    pub fn wait(&self, retry: u32, request: u64, error: &HttpError) -> Duration {
        let backoff = self.backoff.saturating_mul(2_u32.saturating_pow(retry)).min(self.max_wait);
        let mut stream = Stream::keyed(self.seed, Purpose::Backoff, u64::from(retry), request);
        let jittered = backoff.mul_f64(0.5 + 0.5 * stream.uniform());
        error.retry_after().map_or(jittered, |asked| asked.min(self.max_wait).max(jittered))
    }

    /// True if a request that failed `failures` times, last with `error`, is to be sent again.
    pub(super) fn allows(&self, failures: u32, error: &HttpError) -> bool {
        let most = match error {
            HttpError::Malformed(_) => self.max_retries.min(1),
            _ if error.is_transient() => self.max_retries,
            _ => 0,
        };
        failures <= most
    }
}

/// The seconds of a `Retry-After` header. Its other form, a date, is left to the backoff.
pub(super) fn retry_after(header: &str) -> Option<Duration> {
    header.trim().parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_jitter_and_are_capped() {
        let policy =
            RetryPolicy { backoff: Duration::from_millis(100), max_wait: Duration::from_secs(1), ..RetryPolicy::default() };
        let lost = HttpError::NotSent;
        for (retry, most) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (40, 1000)] {
            let waits: Vec<_> = (0..20).map(|request| policy.wait(retry, request, &lost)).collect();
            assert!(waits.iter().all(|&wait| wait >= Duration::from_millis(most / 2) && wait <= Duration::from_millis(most)));
            assert!(waits.windows(2).any(|pair| pair[0] != pair[1]));
            assert_eq!(waits[3], policy.wait(retry, 3, &lost));
        }
        let asked =
            |seconds| HttpError::RateLimited { message: String::new(), retry_after: Some(Duration::from_secs_f64(seconds)) };
        assert_eq!(policy.wait(0, 0, &asked(0.7)), Duration::from_millis(700));
        assert_eq!(policy.wait(0, 0, &asked(3600.0)), Duration::from_secs(1));
    }

    #[test]
    fn a_retry_after_header_is_seconds_or_ignored() {
        assert_eq!(retry_after(" 2 "), Some(Duration::from_secs(2)));
        for bad in ["-1", "NaN", "inf", "1e300", "", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(retry_after(bad), None, "{bad}");
        }
    }
}
