//! A session starts, changes its model, is compacted, or ends.

use super::{Handled, Quotes, answer};
use crate::app::record::record_and_keep;
use crate::app::record_plan::RecordPlan;
use crate::app::session::SessionContext;
use crate::app::{backfill, presence};
use crate::domain::verdict::Verdict;
use crate::store::cache_file::CacheFile;

/// A session started, was resumed, forked, cleared or compacted.
pub fn session_start(ctx: &mut SessionContext, model: Option<String>) -> Handled {
    use_model(ctx, model);
    presence::note(ctx, false);
    let recorded = record_and_keep(ctx, &RecordPlan::for_session(true));
    backfill::read_on_others(ctx);
    CacheFile::sweep(&ctx.env.cache_dir(), ctx.env.now);
    answer(ctx, recorded, &Verdict::Allow, &Quotes::new())
}

/// The person chose another model.
pub fn model_switched(ctx: &mut SessionContext, model: Option<String>) -> Handled {
    use_model(ctx, model);
    Handled::default()
}

/// The conversation was compacted: reads what is there.
pub fn compacted(ctx: &mut SessionContext) -> Handled {
    record_and_keep(ctx, &RecordPlan::for_session(false));
    Handled::default()
}

/// The session ended: reads what is there, and notes it.
pub fn session_end(ctx: &mut SessionContext) -> Handled {
    record_and_keep(ctx, &RecordPlan::for_session(false));
    presence::note(ctx, true);
    Handled::default()
}

/// What holds the old model back does not hold the new one.
fn use_model(ctx: &mut SessionContext, model: Option<String>) {
    let Some(model) = model.filter(|model| !model.is_empty()) else { return };
    let mut cache = ctx.lock_cache();
    cache.models_seen.insert(model.clone());
    cache.models.insert(String::new(), model);
    ctx.save_cache(cache);
}
