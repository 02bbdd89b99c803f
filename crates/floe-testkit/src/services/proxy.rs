//! A stretch of network between a client and a service, which can fail on demand.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};

const BUFFER_BYTES: usize = 64 << 10;
/// Connections that are open at once; more are closed at once.
const CONNECTIONS_MAX: usize = 256;

/// Forwards connections on 127.0.0.1 to a service, as its [`Traffic`] says. Ends with all connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// They go through.
    Flows,
    /// Connections stay open, new ones are made, but nothing gets through until it flows again.
    Stands,
    /// New connections are closed at once, and those that are open too.
    Refused,
}

#[derive(Debug)]
struct State {
    to: SocketAddr,
    road: Mutex<Road>,
    change: Condvar,
    ended: AtomicBool,
    /// Connections ever made to the proxy.
    seen: AtomicUsize,
    /// Answers that were kept from their client.
    lost: AtomicUsize,
}

#[derive(Debug)]
struct Road {
    traffic: Traffic,
    open: Vec<Arc<Pair>>,
    /// The answer to the next request with these bytes in it gets lost.
    trap: Option<Vec<u8>>,
}

/// The two ends of one connection.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    service: TcpStream,
    /// What comes from the service next is not passed on, and the connection cut.
    trapped: AtomicBool,
    /// Nothing is passed on any more, and nobody is told.
    forgotten: AtomicBool,
}

impl Proxy {
    /// Listens on a free port and forwards to a port of 127.0.0.1.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .unwrap_or_else(|error| panic!("the proxy could not listen: {error}"));
        let address =
            listener.local_addr().unwrap_or_else(|error| panic!("the proxy has no address: {error}"));
        let state = Arc::new(State {
            to: SocketAddr::from(([127, 0, 0, 1], port)),
            road: Mutex::new(Road { traffic: Traffic::Flows, open: Vec::new(), trap: None }),
            change: Condvar::new(),
            ended: AtomicBool::new(false),
            seen: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        });
        let accepting = state.clone();
        std::thread::spawn(move || accepting.accept(&listener));
        Self { address, state }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// An address like this one, with the proxy's port in place of the service's.
    #[must_use]
    pub fn url(&self, of_service: &str) -> String {
        let port = format!(":{}", self.state.to.port());
        of_service.replacen(&port, &format!(":{}", self.port()), 1)
    }

    /// From now on.
    pub fn set(&self, traffic: Traffic) {
        self.state.road.lock().traffic = traffic;
        self.state.change.notify_all();
        if traffic == Traffic::Refused {
            self.cut();
        }
    }

    /// Closes all connections that are open.
    pub fn cut(&self) {
        for pair in self.state.road.lock().open.drain(..) {
            pair.close();
        }
        self.state.change.notify_all();
    }

    /// Nothing gets through any more on the connections that are open, and neither end is told, as on a path that has
    /// forgotten them. New ones are as they were.
    pub fn forget(&self) {
        for pair in &self.state.road.lock().open {
            pair.forgotten.store(true, Ordering::SeqCst);
        }
    }

    /// The next request with these bytes in it reaches the service and is answered, but the connection is cut before
    /// the client gets the answer: it can't know whether it was done. The bytes have to arrive in one piece.
    pub fn lose_answer_to(&self, request: &[u8]) {
        self.state.road.lock().trap = Some(request.to_vec());
    }

    /// How many answers were lost so far.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// How many connections were made so far, refused ones too.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.state.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.set(Traffic::Refused);
        // wakes the thread that accepts; if it can't be reached it has ended
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            self.seen.fetch_add(1, Ordering::SeqCst);
            // a client that is gone already, or a service that isn't there: the client sees a closed connection
            let _ = client.and_then(|client| self.connect(client));
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        if self.road.lock().traffic == Traffic::Refused {
            return Ok(());
        }
        let service = TcpStream::connect(self.to)?;
        client.set_nodelay(true)?;
        service.set_nodelay(true)?;
        let pair = Arc::new(Pair {
            client,
            service,
            trapped: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
        });
        let mut road = self.road.lock();
        road.open.retain(|pair| Arc::strong_count(pair) > 1);
        if road.traffic == Traffic::Refused || road.open.len() == CONNECTIONS_MAX {
            return Ok(());
        }
        road.open.push(pair.clone());
        drop(road);
        for requests in [true, false] {
            let (state, pair) = (self.clone(), pair.clone());
            std::thread::spawn(move || {
                // an error ends the connection like its end
                let _ = if requests { state.pass_requests(&pair) } else { state.pass_answers(&pair) };
                pair.close();
            });
        }
        Ok(())
    }

    fn pass_requests(&self, pair: &Pair) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = (&pair.client).read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.wait_until_it_flows();
            if pair.forgotten.load(Ordering::SeqCst) {
                continue;
            }
            let bytes = &buffer[..count];
            let mut road = self.road.lock();
            if let Some(trap) = &road.trap
                && bytes.windows(trap.len()).any(|window| window == trap)
            {
                road.trap = None;
                pair.trapped.store(true, Ordering::SeqCst);
            }
            drop(road);
            (&pair.service).write_all(bytes)?;
        }
    }

    fn pass_answers(&self, pair: &Pair) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = (&pair.service).read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.wait_until_it_flows();
            if pair.forgotten.load(Ordering::SeqCst) {
                continue;
            }
            if pair.trapped.load(Ordering::SeqCst) {
                self.lost.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            (&pair.client).write_all(&buffer[..count])?;
        }
    }

    fn wait_until_it_flows(&self) {
        let mut road = self.road.lock();
        while road.traffic == Traffic::Stands {
            self.change.wait(&mut road);
        }
    }
}

impl Pair {
    fn close(&self) {
        // one that is closed already stays closed
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.service.shutdown(Shutdown::Both);
    }
}
