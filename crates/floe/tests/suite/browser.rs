//! Pages in a real browser.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use floe_testkit::services::find_program;
use serde_json::Value;

/// Chromium on a page; told what to do line by line (see `console/tests`).
pub(crate) struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it with the driver of this name.
    pub(crate) fn start(driver: &str) -> Self {
        let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../console/tests");
        let modules = tests.join("node_modules/playwright-core");
        assert!(modules.exists(), "{} is missing: scripts/setup-test.sh makes it", modules.display());
        let chromium = find_program("chromium", &[], "chromium");
        let mut node = Command::new(find_program("node", &[], "nodejs"));
        node.arg(tests.join(driver)).arg(chromium);
        let mut child =
            node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Does one thing and answers what came of it.
    pub(crate) fn tell(&mut self, line: &str) -> Value {
        writeln!(self.input.as_ref().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        if self.output.read_line(&mut answer).unwrap() == 0 {
            let mut said = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("{line}: {said}");
        }
        serde_json::from_str(&answer).unwrap()
    }

    /// Closes the browser; it has to end well.
    pub(crate) fn close(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // after its input has ended it closes the browser and ends; a test that failed doesn't wait for that
        drop(self.input.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
