//! How the client is named and started, and where its settings are, for the protection of Fusebox's own files.

use std::path::{Path, PathBuf};

use crate::domain::protection::Client;
use crate::platform::{Env, SYSTEM, System};

/// The client.
pub static CLIENT: Client = Client {
    program: "claude",
    package_paths: &["@anthropic-ai/claude-code", "/claude-code/cli."],
    version_paths: &["/claude/versions/"],
    harmless_variables: "ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL ANTHROPIC_BETAS ANTHROPIC_MODEL \
                         ANTHROPIC_SMALL_FAST_MODEL ANTHROPIC_DEFAULT_* ANTHROPIC_VERTEX_* ANTHROPIC_BEDROCK_* \
                         CLAUDE_PLUGIN_ROOT CLAUDE_CODE_MAX_* CLAUDE_CODE_USE_* \
                         CLAUDE_CODE_SKIP_BEDROCK_AUTH CLAUDE_CODE_SKIP_VERTEX_AUTH CLAUDE_CODE_EFFORT_LEVEL \
                         CLAUDE_CODE_SUBAGENT_MODEL CLAUDE_CODE_OAUTH_TOKEN \
                         CLAUDE_CODE_API_KEY_HELPER_TTL_MS CLAUDE_CODE_ENABLE_TELEMETRY \
                         CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC CLAUDE_CODE_DISABLE_TERMINAL_TITLE \
                         CLAUDE_CODE_DISABLE_BACKGROUND_TASKS CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS",
    variable_prefixes: &["FUSEBOX_", "CLAUDE_", "CLAUDECODE", "ANTHROPIC_"],
    // Not among them: options that leave out hooks or the transcript (`--bare`, `--safe-mode`, `--restricted`,
    // `--no-session-persistence`, `--managed-settings`), or start the session elsewhere (`--bg`, `--cloud`, `--tmux`,
    // …). A session that a daemon starts does not always name the session that launched it.
    harmless_options: "add-dir agent agents allow-dangerously-skip-permissions allowed-tools allowedTools \
                       append-subagent-system-prompt append-system-prompt append-system-prompt-file autocompact \
                       ax-screen-reader betas brief chrome continue dangerously-skip-permissions debug \
                       disable-slash-commands disallowed-tools disallowedTools effort \
                       exclude-dynamic-system-prompt-sections fallback-model file fork-session forward-subagent-text \
                       from-pr help ide include-hook-events include-partial-messages input-format json-schema \
                       max-budget-usd max-thinking-tokens max-turns mcp-config mcp-debug model name no-chrome \
                       output-format permission-mode permission-prompt-tool permission-prompts plugin-dir print \
                       prompt-suggestions replay-user-messages resume session-id strict-mcp-config system-prompt \
                       system-prompt-file system-prompt-snapshot task-budget thinking tools verbose version worktree",
    harmless_letters: "cdhnprvw",
    commands: "agents auth auto-mode doctor install kill logs mcp plugin plugins rm setup-token stop update upgrade \
               --help --version -h -v",
    sources_option: ("--setting-sources", "user"),
    settings_option: "--settings",
    hooks_off_setting: "disableAllHooks",
    settings_folder: ".claude",
    settings_file: "settings",
    managed_file: "managed-settings",
    variable_prefix: "CLAUDE",
};

/// The folder of managed settings.
pub fn managed_dir() -> &'static Path {
    Path::new(match SYSTEM {
        System::Linux => "/etc/claude-code",
        System::MacOs => "/Library/Application Support/ClaudeCode",
    })
}

/// The client's folder for settings and transcripts: `CLAUDE_CONFIG_DIR`, else `~/.claude`.
pub fn user_dir(env: &Env) -> Option<PathBuf> {
    let named = env.var("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    named.or_else(|| env.home().map(|home| home.join(CLIENT.settings_folder)))
}

/// The client's settings files of a project, whose `env` sets environment variables.
pub fn project_settings(project_dir: &Path) -> [PathBuf; 2] {
    ["settings.json", "settings.local.json"].map(|name| project_dir.join(CLIENT.settings_folder).join(name))
}

/// Folders and files with settings: managed, the user's, and those of these projects.
pub fn settings_paths(env: &Env, projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let user = user_dir(env).map(|dir| dir.join("settings.json"));
    // Where a client without `CLAUDE_CONFIG_DIR` looks.
    let usual = env.home().map(|home| home.join(CLIENT.settings_folder).join("settings.json"));
    let of_projects = projects.iter().flat_map(|dir| project_settings(dir));
    (vec![managed_dir().to_owned()], user.into_iter().chain(usual).chain(of_projects).collect())
}
