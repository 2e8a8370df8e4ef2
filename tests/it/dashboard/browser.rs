//! A headless Chromium with its own driver and profile.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use url::{ParseError, Url};

use crate::harness::Home;
use crate::serve::{PATIENCE, Serve};

/// A browser that looks at one server; ends with the test.
pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Child,
    base: String,
    shots: PathBuf,
}

/// What a browser is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Runs no scripts of pages.
    pub without_scripts: bool,
}

impl Browser {
    /// Opens a browser.
    pub fn open(home: &Home, serve: &Serve) -> Self {
        Self::like(home, serve, Manner::default())
    }

    /// Opens one of a kind.
    pub fn like(home: &Home, serve: &Serve, manner: Manner) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", home.path("browser")).env("TMPDIR", home.path("browser"));
        std::fs::create_dir_all(home.path("browser/profile")).unwrap();
        // A group of its own, so that everything that it starts ends with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("chromedriver is installed: tests/run does that");
        let port = port(&mut driver);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let profile = format!("--user-data-dir={}", home.path("browser/profile").display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--window-size=1440,1000",
            &profile,
        ];
        let mut options = json!({"args": arguments});
        if manner.without_scripts {
            options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
        }
        let mut wanted = Capabilities::new();
        wanted.insert("goog:chromeOptions".to_owned(), options);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted);
        let client = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}")));
        let base = format!("http://{}", serve.address);
        let shots = home.path("shots");
        Self { runtime, client: Some(client.expect("Chromium starts")), driver, base, shots }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// Opens a page.
    pub fn go(&self, path: &str) {
        self.runtime.block_on(self.client().goto(&format!("{}{path}", self.base))).unwrap();
    }

    /// The path of the page, with its query.
    pub fn path(&self) -> String {
        let url = self.runtime.block_on(self.client().current_url()).unwrap();
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// The result of a script: `return …`.
    pub fn eval(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute(script, Vec::new())).unwrap()
    }

    /// The result of a script that calls its last argument.
    pub fn eval_async(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute_async(script, Vec::new())).unwrap()
    }

    /// The first element, once there is one.
    #[track_caller]
    fn element(&self, css: &str) -> Element {
        let found = self.wait(|| self.runtime.block_on(self.client().find(Locator::Css(css))).ok());
        found.unwrap_or_else(|| panic!("no {css} on {}", self.text("body")))
    }

    /// Clicks.
    #[track_caller]
    pub fn click(&self, css: &str) {
        // A page that is read again may just have replaced the element.
        let done = self.wait(|| {
            let element = self.runtime.block_on(self.client().find(Locator::Css(css))).ok()?;
            self.runtime.block_on(element.click()).ok()
        });
        assert!(done.is_some(), "cannot click {css} on {}", self.text("body"));
    }

    /// Types into a field, instead of what is there.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        let field = self.element(css);
        self.runtime.block_on(field.clear()).unwrap();
        self.runtime.block_on(field.send_keys(text)).unwrap();
    }

    /// Presses keys where the focus is.
    pub fn press(&self, keys: &str) {
        let focused = self.runtime.block_on(self.client().active_element()).unwrap();
        self.runtime.block_on(focused.send_keys(keys)).unwrap();
    }

    /// The visible text of the first element; empty if there is none.
    pub fn text(&self, css: &str) -> String {
        let found = self.runtime.block_on(self.client().find(Locator::Css(css)));
        found.ok().and_then(|element| self.runtime.block_on(element.text()).ok()).unwrap_or_default()
    }

    /// How many elements there are.
    pub fn count(&self, css: &str) -> usize {
        self.runtime.block_on(self.client().find_all(Locator::Css(css))).unwrap().len()
    }

    /// Waits until the text of the first element contains this.
    #[track_caller]
    pub fn wait_text(&self, css: &str, part: &str) {
        let found = self.wait(|| self.text(css).contains(part).then_some(()));
        assert!(found.is_some(), "{css} never said {part:?}: {:?}", self.text("body"));
    }

    /// Waits until a script returns `true`.
    #[track_caller]
    pub fn wait_true(&self, script: &str) {
        let found = self.wait(|| (self.eval(script) == json!(true)).then_some(()));
        assert!(found.is_some(), "never: {script}: {:?}", self.text("body"));
    }

    /// Waits until something is there.
    fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let began = Instant::now();
        loop {
            let found = look();
            if found.is_some() || began.elapsed() > PATIENCE {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Signs in with a token on the sign-in page.
    #[track_caller]
    pub fn sign_in(&self, token: &str) {
        self.go("/cost-dashboard/sign-in");
        self.fill("#token", token);
        self.click("#send");
    }

    /// Sends a command of Chromium's own protocol.
    pub fn command(&self, name: &str, parameters: Value) {
        let command = DevTools(json!({"cmd": name, "params": parameters}));
        self.runtime.block_on(self.client().issue_cmd(command)).unwrap();
    }

    /// Sets the width of the page, in pixels, and whether it is dark.
    pub fn look(&self, width: u32, is_dark: bool) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", size);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Opens another tab in front of the page, so that the page is hidden. Returns how to come back.
    pub fn hide(&self) -> impl Fn() {
        let page = self.runtime.block_on(self.client().window()).unwrap();
        let other = self.runtime.block_on(self.client().new_window(true)).unwrap();
        self.runtime.block_on(self.client().switch_to_window(other.handle)).unwrap();
        move || {
            self.runtime.block_on(self.client().close_window()).unwrap();
            self.runtime.block_on(self.client().switch_to_window(page.clone())).unwrap();
        }
    }

    /// Saves a picture of the page in the home's folder `shots`, or where `FUSEBOX_TEST_SHOTS` says.
    pub fn shoot(&self, name: &str) {
        let folder = std::env::var("FUSEBOX_TEST_SHOTS").map_or_else(|_| self.shots.clone(), PathBuf::from);
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = self.runtime.block_on(self.client().screenshot()).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}

/// The port that the driver chose.
fn port(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let mut said = lines.map_while(Result::ok);
    let line = said.find(|line| line.contains("started successfully on port")).expect("chromedriver starts");
    line.rsplit(' ').next().unwrap().trim_end_matches('.').parse().unwrap()
}

/// A command of Chromium's own protocol.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}
