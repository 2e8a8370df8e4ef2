//! A session starts, switches its model, is compacted, or ends.

use super::{HandlerOutput, answer, record_and_judge};
use crate::app::messages::Excerpts;
use crate::app::record::record_and_cache;
use crate::app::record_plan::RecordPlan;
use crate::app::session::SessionContext;
use crate::app::unseen::Heard;
use crate::app::{backfill, presence};
use crate::domain::verdict::{Moment, Verdict};
use crate::store::cache_file::CacheFile;

/// A session started, was resumed, forked, cleared or compacted. `continues`: whether it continues a conversation.
pub fn session_start(
    ctx: &mut SessionContext,
    model: Option<String>,
    continues: Option<bool>,
) -> HandlerOutput {
    set_main_model(ctx, model);
    if continues.is_some() {
        let mut cache = ctx.lock_cache();
        cache.continues = continues;
        ctx.save_cache(cache);
    }
    presence::record_presence(ctx, false);
    let recorded = record_and_cache(ctx, &RecordPlan::for_session(true));
    backfill::catch_up_others(ctx);
    CacheFile::sweep(&ctx.env.cache_dir(), ctx.env.now);
    answer(ctx, recorded, &Verdict::Allow, &Excerpts::default())
}

/// The person selected another model.
pub fn model_switched(ctx: &mut SessionContext, model: Option<String>) -> HandlerOutput {
    set_main_model(ctx, model);
    HandlerOutput::default()
}

/// The conversation is about to be compacted: blocks that if a budget holds the agent back.
pub fn before_compaction(ctx: &mut SessionContext) -> HandlerOutput {
    let plan = RecordPlan::for_session(false);
    let (recorded, verdict) = record_and_judge(ctx, &plan, None, Moment::Compaction);
    answer(ctx, recorded, &verdict, &Excerpts::default())
}

/// The conversation was compacted: records new lines.
pub fn compacted(ctx: &mut SessionContext) -> HandlerOutput {
    record_and_cache(ctx, &RecordPlan::for_session(false));
    HandlerOutput::default()
}

/// The session ended: records new lines and the end.
pub fn session_end(ctx: &mut SessionContext) -> HandlerOutput {
    record_and_cache(ctx, &RecordPlan { heard: Heard::End, ..RecordPlan::for_session(false) });
    presence::record_presence(ctx, true);
    HandlerOutput::default()
}

/// Sets the main agent's model: budgets of the old model no longer hold it back.
fn set_main_model(ctx: &mut SessionContext, model: Option<String>) {
    let Some(model) = model.filter(|model| !model.is_empty()) else { return };
    let mut cache = ctx.lock_cache();
    cache.models_seen.insert(model.clone());
    cache.models.insert(String::new(), model);
    ctx.save_cache(cache);
}
