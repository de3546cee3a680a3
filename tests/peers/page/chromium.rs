//! Drives a headless Chromium through the DevTools protocol.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const MINUTE: Duration = Duration::from_secs(60);

/// Evaluated in each page: resolves with what `test` returns once that is true,
/// looking again whenever the page changes.
const UNTIL: &str = "\
window.until = (test) => new Promise((done, fail) => {
  const look = () => {
    const result = test();
    if (result) { observer.disconnect(); clearInterval(timer); clearTimeout(late); done(result); }
  };
  const observer = new MutationObserver(look);
  const all = { subtree: true, childList: true, attributes: true, characterData: true };
  observer.observe(document, all);
  const timer = setInterval(look, 20);
  const late = setTimeout(() => {
    observer.disconnect(); clearInterval(timer);
    fail(new Error('waited in vain for ' + test + ' in: ' + document.body.innerText));
  }, 30000);
  look();
});";

/// A browser with one page. It ends when this is dropped.
pub(crate) struct Chromium {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    next_id: u64,
    events: VecDeque<Value>,
    _process: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Starts Debian's `chromium`. `names` resolve to this machine.
    pub(crate) async fn start(names: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("chromium")
            .args([
                "--headless=new",
                // Tests may run as root, where the sandbox does not.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--host-resolver-rules=MAP {names} 127.0.0.1"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium is needed: scripts/test.sh installs it");
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.lines();
        let mut said = Vec::new();
        let url = loop {
            let line = timeout(MINUTE, lines.next_line()).await.expect("no line");
            let line = line
                .unwrap()
                .unwrap_or_else(|| panic!("it ended: {said:#?}"));
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                break url.to_owned();
            }
            said.push(line);
        };
        // It blocks when nobody reads what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = connect_async(url).await.unwrap();
        let mut chromium = Self {
            socket,
            session: None,
            next_id: 0,
            events: VecDeque::new(),
            _process: process,
            _profile: profile,
        };
        chromium.attach().await;
        chromium
    }

    async fn attach(&mut self) {
        let target = self
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", target).await;
        self.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, json!({})).await;
        }
        let source = json!({ "source": UNTIL });
        self.call("Page.addScriptToEvaluateOnNewDocument", source)
            .await;
    }

    /// Calls a method of the protocol.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let mut call = json!({ "id": self.next_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        let call = Message::text(call.to_string());
        self.socket.send(call).await.unwrap();
        loop {
            let message = self.receive().await;
            if message["id"] == self.next_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    async fn receive(&mut self) -> Value {
        let message = timeout(MINUTE, self.socket.next()).await;
        let message = message.expect("no answer").expect("it ended").unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// Opens a page, and returns its text when it is loaded.
    pub(crate) async fn open(&mut self, url: &str) -> String {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": url })).await;
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            let event = self.receive().await;
            self.events.push_back(event);
        }
        let text = self.eval("document.body.innerText").await;
        text.as_str().unwrap().to_owned()
    }

    /// Evaluates an expression in the page; of a promise, what it resolves with.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        let params = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let result = self.call("Runtime.evaluate", params).await;
        let exception = &result["exceptionDetails"];
        assert!(exception.is_null(), "{expression}: {exception:#}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page, and returns its value.
    pub(crate) async fn until(&mut self, expression: &str) -> Value {
        self.eval(&format!("until(() => {expression})")).await
    }

    /// Errors that the page has caused since it was opened, such as violations of
    /// its policy.
    pub(crate) fn errors(&self) -> Vec<String> {
        let errors = self.events.iter().filter_map(|event| {
            let params = &event["params"];
            match event["method"].as_str()? {
                "Log.entryAdded" if params["entry"]["level"] == "error" => {
                    Some(params["entry"]["text"].to_string())
                }
                "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
                _ => None,
            }
        });
        errors.collect()
    }
}
