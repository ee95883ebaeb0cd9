//! The tries of one request: with whose token, and after which answer there is another.

use std::time::Duration;

use http::header::HeaderValue;
use http::request::Parts;
use http::{Extensions, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use keyherd_core::broker::{Acquired, Followed, Judge, Token};
use keyherd_core::ids::{CredentialId, Name};
use keyherd_core::refresh::Ask;
use keyherd_core::secret::Secret;
use keyherd_core::upstream::{Answer, Evidence, Needs};

use super::Exchange;
use super::deliver::Message;
use crate::body::{AnswerBody, Incoming, Upload};
use crate::decode::is_coded;
use crate::fault::Fault;
use crate::headers::{announce_upgrade, is_as_it_stands, strip_request, strip_response, upgrade_wanted};
use crate::look::{Shown, look, needs};
use crate::order::{Order, Served, Used};
use crate::recheck::Recheck;
use crate::relay::Sides;
use crate::watch::EventWatch;

/// One request, over all its tries.
pub(super) struct Tries<'a> {
    exchange: &'a Exchange,
    order: Order,
    head: Parts,
    upload: Option<Upload>,
    upgrade: Option<Upgrade>,
    recheck: Option<&'a dyn Recheck>,
    /// Whose tokens were tried, of which generation.
    tried: Vec<(CredentialId, u64)>,
    /// The token that upstream refused last.
    rejected: Option<Secret>,
    upstream_took: Duration,
    served: &'a mut Option<Served>,
}

/// The caller's wish to go on in another protocol.
struct Upgrade {
    protocol: HeaderValue,
    caller: OnUpgrade,
}

/// An answer of which nothing was passed on yet.
struct Come {
    head: http::response::Parts,
    body: AnswerBody,
}

/// What follows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Pass,
    Again,
}

impl<'a> Tries<'a> {
    pub(super) fn new(
        exchange: &'a Exchange,
        order: Order,
        mut request: Request<Incoming>,
        recheck: Option<&'a dyn Recheck>,
        served: &'a mut Option<Served>,
    ) -> Self {
        let upgrade = (request.version() == Version::HTTP_11)
            .then(|| upgrade_wanted(request.headers()))
            .flatten()
            .map(|protocol| Upgrade { protocol, caller: hyper::upgrade::on(&mut request) });
        let (mut head, body) = request.into_parts();
        // The caller's connection's; upstream's has its own.
        head.extensions = Extensions::new();
        strip_request(&mut head.headers, order.own);
        let is_empty = http_body::Body::is_end_stream(&body);
        let upload =
            (!is_empty).then(|| Upload::new(body, exchange.0.limits.replay_len_max, &exchange.0.room));
        Self {
            exchange,
            order,
            head,
            upload,
            upgrade,
            recheck,
            tried: Vec::new(),
            rejected: None,
            upstream_took: Duration::ZERO,
            served,
        }
    }

    /// How long was spent on waiting for upstream.
    pub(super) fn upstream_took(&self) -> Duration {
        self.upstream_took
    }

    pub(super) fn count(&self) -> usize {
        self.tried.len()
    }

    pub(super) async fn run(&mut self) -> Result<Response<AnswerBody>, Fault> {
        let Some(name) = self.order.name.clone() else {
            let come = self.send("").await?;
            return self.passed(come);
        };
        let mut token = self.token(&name).await?;
        loop {
            self.tried.push((token.credential_id(), token.generation()));
            *self.served = Some(Served(token.clone()));
            let mut come = self.send(token.expose()).await?;
            if self.judged(&mut come, &token).await == Next::Pass {
                return self.passed(come);
            }
            match self.token(&name).await {
                Ok(next) if !self.has_tried(&next) => token = next,
                // Nobody else is there: the answer that was had is better than none.
                _ => return self.passed(come),
            }
        }
    }

    async fn token(&self, name: &Name) -> Result<Token, Fault> {
        let mut ask = Ask::foreground(self.exchange.0.limits.token_wait);
        ask.scope.clone_from(&self.order.scope);
        ask.rejected.clone_from(&self.rejected);
        let (broker, name) = (&self.exchange.0.broker, name.as_str());
        if let Some(token) = broker.hot(name, &ask) {
            return Ok(token);
        }
        let token = match Box::pin(broker.acquire(name, &ask, &self.order.actor)).await? {
            Acquired::Token(token) => token,
            Acquired::Refused(refusal) => return Err(Fault::Refused { name: name.to_owned(), refusal }),
        };
        if let Some(recheck) = self.recheck {
            recheck.ask().await?;
        }
        Ok(token)
    }

    fn has_tried(&self, token: &Token) -> bool {
        self.tried.contains(&(token.credential_id(), token.generation()))
    }

    async fn send(&mut self, token: &str) -> Result<Come, Fault> {
        let message = Message {
            order: &self.order,
            head: &self.head,
            upload: self.upload.as_ref(),
            upgrade: self.upgrade.as_ref().map(|upgrade| &upgrade.protocol),
        };
        let (answer, took) = self.exchange.deliver(&message, token).await?;
        self.upstream_took += took;
        let (head, body) = answer.into_parts();
        Ok(Come { head, body })
    }

    /// Looks at an answer, tells the broker, and says what follows.
    async fn judged(&mut self, come: &mut Come, token: &Token) -> Next {
        let (status, needs) = (come.head.status.as_u16(), needs(&come.head));
        if needs == Needs::Head && status < 400 {
            self.exchange.0.broker.works(token, self.order.scope.as_deref());
            return Next::Pass;
        }
        // Of the others most prove nothing.
        if needs == Needs::Head && status != 401 {
            return Next::Pass;
        }
        Box::pin(self.judged_closely(needs, come, token)).await
    }

    async fn judged_closely(&mut self, needs: Needs, come: &mut Come, token: &Token) -> Next {
        let Some(used) = Used::of(token) else { return Next::Pass };
        let judge = match self.exchange.0.broker.judge_of(&used.credential).await {
            Ok(judge) => judge,
            Err(error) => {
                tracing::warn!(%error, credential = %used.credential, "an answer cannot be judged");
                return Next::Pass;
            }
        };
        let seen = look(needs, &come.head, &mut come.body, &self.exchange.0.limits).await;
        let headers = Shown(&come.head.headers);
        let status = come.head.status.as_u16();
        let evidence = judge.judge(&Answer { status, headers: &headers, body: &seen.body });
        match evidence {
            Evidence::Works => {
                if !seen.is_open {
                    self.exchange.0.broker.works(token, self.order.scope.as_deref());
                }
                if needs == Needs::FirstEvent && !is_coded(&come.head.headers) {
                    self.watch(come, judge, used);
                }
                Next::Pass
            }
            Evidence::Nothing => Next::Pass,
            evidence => self.told(&used, evidence, token).await,
        }
    }

    /// Reports a failing answer. It is in force before anything of it is passed on.
    async fn told(&mut self, used: &Used, evidence: Evidence, token: &Token) -> Next {
        let is_refused_token = matches!(evidence, Evidence::Rejected { .. });
        let report = used.report(&self.order, evidence);
        let broker = &self.exchange.0.broker;
        let followed = broker.report(&report, &self.order.actor).await;
        if is_refused_token && followed.is_ok() {
            self.rejected = Some(Secret::from(token.expose()));
        }
        let has_others = token.pool_epoch().is_some();
        let has_another = match followed {
            Ok(Followed::Stale { .. } | Followed::Refreshed { .. }) => true,
            Ok(Followed::Cooled { .. } | Followed::Refused(_)) => has_others,
            Ok(Followed::Nothing | Followed::Unproven(_)) => false,
            // The store could not be told; who comes next goes elsewhere all the same.
            Err(error) => {
                tracing::warn!(%error, credential = %used.credential, "an answer cannot be reported");
                has_others && broker.rests_here(token.credential(), used.id, self.order.scope.as_deref())
            }
        };
        let may_go_again = self.count() < self.exchange.0.limits.tries_max
            && self.upload.as_ref().is_none_or(Upload::may_go_again);
        if has_another && may_go_again { Next::Again } else { Next::Pass }
    }

    /// Errors that come later in a stream are reported, and pass.
    fn watch(&self, come: &mut Come, judge: Judge, used: Used) {
        let (exchange, order) = (self.exchange.clone(), self.order.clone());
        let tell = move |evidence| {
            let (broker, report) = (exchange.0.broker.clone(), used.report(&order, evidence));
            let actor = order.actor.clone();
            exchange.0.tasks.spawn(async move {
                if let Err(error) = broker.report(&report, &actor).await {
                    tracing::warn!(%error, credential = %report.credential, "a stream's error cannot be reported");
                }
            });
        };
        come.body.watched_by(Box::new(EventWatch::new(judge, tell)));
    }

    /// The answer as the caller gets it.
    fn passed(&mut self, come: Come) -> Result<Response<AnswerBody>, Fault> {
        let Come { mut head, mut body } = come;
        let broken = |problem: &str| Fault::Broken {
            upstream: self.order.target.authority(),
            problem: problem.into(),
        };
        if !is_as_it_stands(&head.headers) {
            return Err(broken("its answer has a transfer coding that nobody asked for"));
        }
        // A short answer comes with its head, mostly: then nothing lasts of it.
        body.read_at_hand();
        let goes_on = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = goes_on.then(|| upgrade_wanted(&head.headers)).flatten();
        strip_response(&mut head.headers);
        head.version = Version::HTTP_11;
        if goes_on {
            let unasked = || broken("it went on in a protocol that nobody asked for");
            let upgrade = self.upgrade.take().ok_or_else(unasked)?;
            announce_upgrade(&mut head.headers, protocol.unwrap_or(upgrade.protocol));
            let upstream = hyper::upgrade::on(Response::from_parts(head.clone(), ()));
            let sides = Sides { caller: upgrade.caller, upstream };
            self.exchange.relay(sides, body.take_lease(), self.order.ends_with.take());
            body = AnswerBody::empty();
        }
        if let Some(agent) = self.order.ends_with.take_if(|_| !body.is_read()) {
            body.until(self.exchange.clone().gone(Some(agent)));
        }
        // Upstream's connection's, and its own words for a status: nobody looks them through for secrets.
        head.extensions.clear();
        Ok(Response::from_parts(head, body))
    }
}
