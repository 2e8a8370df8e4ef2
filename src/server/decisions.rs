//! Carries out what operators decide, with the store opened for each decision, like a command does.

use std::sync::Arc;

use super::Server;
use super::problem::Problem;
use crate::app::circuit_decisions::{self, ChangedCircuit};
use crate::app::messages::amounts::quantity;
use crate::app::operate::{self, AppliedOperation, OperationRequest};
use crate::app::store_access::StoreAccess;
use crate::config::Config;
use crate::domain::alert::Acknowledgement;
use crate::domain::event::CircuitDecision;
use crate::domain::operation::{Operation, OperationKind};
use crate::platform::Env;

/// A decision about the breaker of one agent.
#[derive(Clone, Debug)]
pub struct CircuitRequest {
    /// The session.
    pub session: String,
    /// The subagent; empty for the main agent.
    pub agent: String,
    /// The decision.
    pub decision: CircuitDecision,
    /// Who decided.
    pub actor: String,
    /// The reason.
    pub reason: String,
}

impl Server {
    /// Extends or resets a budget.
    ///
    /// # Errors
    /// Why it was refused; nothing was changed.
    pub async fn operate(self: &Arc<Self>, request: OperationRequest) -> Result<AppliedOperation, Problem> {
        one(self.operate_each(vec![request]).await?)
    }

    /// Extends or resets budgets, each by itself: the results are in the order of the requests.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn operate_each(
        self: &Arc<Self>,
        requests: Vec<OperationRequest>,
    ) -> Result<Vec<Result<AppliedOperation, Problem>>, Problem> {
        let done = self
            .decide(move |env, config, store| {
                let done = operate::operate_each(env, config, store, &requests);
                done.iter().flatten().for_each(log_operation);
                Ok(done.into_iter().map(|done| done.map_err(Problem::from)).collect::<Vec<_>>())
            })
            .await?;
        for warning in done.iter().flatten().flat_map(|done| &done.warnings) {
            tracing::warn!(warning, "a decision");
        }
        Ok(done)
    }

    /// Acknowledges or resets a breaker.
    ///
    /// # Errors
    /// Why it was refused; nothing was changed.
    pub async fn decide_circuit(
        self: &Arc<Self>,
        request: CircuitRequest,
    ) -> Result<Vec<ChangedCircuit>, Problem> {
        one(self.decide_circuits(vec![request]).await?)
    }

    /// Acknowledges or resets breakers, each by itself: the results are in the order of the requests.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn decide_circuits(
        self: &Arc<Self>,
        requests: Vec<CircuitRequest>,
    ) -> Result<Vec<Result<Vec<ChangedCircuit>, Problem>>, Problem> {
        self.decide(move |env, _, store| {
            let decide = |request: &CircuitRequest| {
                let CircuitRequest { session, agent, decision, actor, reason } = request;
                let done = circuit_decisions::decide_circuit(
                    env,
                    store,
                    session,
                    Some(agent),
                    *decision,
                    (actor, reason),
                );
                if done.is_ok() {
                    log_circuit(request);
                }
                done.map_err(Problem::from)
            };
            Ok(requests.iter().map(decide).collect())
        })
        .await
    }

    /// Acknowledges alerts. Returns those newly acknowledged.
    ///
    /// # Errors
    /// None was acknowledged.
    pub async fn acknowledge(
        self: &Arc<Self>,
        alerts: Vec<i64>,
        actor: String,
        reason: Option<String>,
    ) -> Result<Vec<i64>, Problem> {
        self.decide(move |env, _, store| {
            let acknowledgement = Acknowledgement { by: actor, at: env.now, reason };
            let done = store.call(|store| store.acknowledge(&alerts, &acknowledgement))?;
            for alert in &done {
                tracing::info!(actor = acknowledgement.by, alert, "alert acknowledged");
            }
            Ok(done)
        })
        .await
    }

    /// Runs a decision in a thread that may wait for the store.
    async fn decide<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Env, &Config, &mut StoreAccess) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let snapshot = self.watcher.snapshot().await?;
        let env = self.env_now();
        let done = tokio::task::spawn_blocking(move || {
            let mut store = StoreAccess::for_command(&env, &snapshot.config);
            work(&env, &snapshot.config, &mut store)
        });
        let done = done.await.unwrap_or_else(|_| Err(Problem::unavailable("the decision was interrupted")));
        // A refused one may have found the store changed.
        self.watcher.on_decision();
        done
    }
}

/// Logs a decision about a budget, without its reason. A repeated request decides nothing.
fn log_operation(done: &AppliedOperation) {
    if !done.is_new() {
        return;
    }
    let Operation { actor, budget, value, kind, .. } = &done.operation;
    let amount = match kind {
        OperationKind::Extend { amount } => Some(quantity(*amount, done.unit())),
        OperationKind::Reset { .. } | OperationKind::Delete => None,
    };
    let decision = kind.name();
    tracing::info!(actor, decision, budget, value, amount, "budget decided");
}

/// Logs a decision about a breaker, without its reason.
fn log_circuit(request: &CircuitRequest) {
    let CircuitRequest { session, agent, decision, actor, .. } = request;
    let agent = if agent.is_empty() { "main" } else { agent };
    let decision = match decision {
        CircuitDecision::Acknowledge => "acknowledge",
        CircuitDecision::Reset => "reset",
    };
    tracing::info!(actor, decision, session, agent, "circuit breaker decided");
}

/// The only one of these results.
fn one<T>(results: Vec<Result<T, Problem>>) -> Result<T, Problem> {
    results.into_iter().next().unwrap_or_else(|| Err(Problem::unavailable("the decision was interrupted")))
}
