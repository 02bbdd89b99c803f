use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client frame, as a client that follows the rules writes it.
fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let (head, length) = server_head(0, payload.len());
    let mut bytes = head[..length].to_vec();
    bytes[0] = first;
    bytes[1] |= MASKED;
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Everything that bytes come to, fed in pieces of `step` bytes.
fn decode(bytes: &[u8], step: usize) -> Result<Vec<Incoming>, Violation> {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        let mut input = piece;
        while let Some(incoming) = decoder.next(&mut input)? {
            found.push(incoming);
        }
        assert!(input.is_empty());
    }
    Ok(found)
}

fn code_of(bytes: &[u8]) -> u16 {
    let code = decode(bytes, bytes.len()).unwrap_err().code.0;
    assert_eq!(decode(bytes, 1).unwrap_err().code.0, code, "in single bytes");
    code
}

#[test]
fn messages_come_out_however_the_bytes_are_cut() {
    let long = "ä€😀x".repeat(20_000);
    let mut bytes = client(0x81, b"Hello");
    bytes.extend(client(0x01, "fr\u{e4}g".as_bytes()[..3].as_ref()));
    bytes.extend(client(0x89, b"in between"));
    bytes.extend(client(0x00, b""));
    bytes.extend(client(0x80, &"fr\u{e4}g".as_bytes()[3..]));
    bytes.extend(client(0x81, long.as_bytes()));
    bytes.extend(client(0x81, b""));
    bytes.extend(client(0x8a, b"pong"));
    bytes.extend(client(0x88, b"\x03\xe8bye"));
    let expected = vec![
        Incoming::Text("Hello".into()),
        Incoming::Ping(b"in between".to_vec()),
        Incoming::Text("fr\u{e4}g".into()),
        Incoming::Text(long.into()),
        Incoming::Text(Bytes::new()),
        Incoming::Pong,
        Incoming::Close(Some(CloseCode(1000))),
    ];
    for step in [1, 2, 3, 5, 7, 13, 125, 4096, usize::MAX] {
        assert_eq!(decode(&bytes, step.min(bytes.len())).as_ref(), Ok(&expected), "step {step}");
    }
}

#[test]
fn a_broken_frame_is_answered_by_the_code_the_rfc_asks_for() {
    let too_long_ping = client(0x89, &[b'x'; 126]);
    for (bytes, code, why) in [
        (&b"\x81\x05Hello"[..], 1002, "unmasked"),
        (&client(0xc1, b"x"), 1002, "reserved bit 1"),
        (&client(0xa1, b"x"), 1002, "reserved bit 2"),
        (&client(0x91, b"x"), 1002, "reserved bit 3"),
        (&client(0x83, b"x"), 1002, "unknown data opcode"),
        (&client(0x8b, b"x"), 1002, "unknown control opcode"),
        (&too_long_ping, 1002, "long control frame"),
        (&client(0x09, b"x"), 1002, "fragmented control frame"),
        (&client(0x80, b"x"), 1002, "continuation of nothing"),
        (&[client(0x01, b"x"), client(0x81, b"y")].concat(), 1002, "message within a message"),
        (&client(0x82, b"x"), 1003, "binary"),
        (&client(0x81, b"\xff\xfe"), 1007, "not UTF-8"),
        (&client(0x88, b"x"), 1002, "close of one byte"),
        (&client(0x88, b"\x03\xedx"), 1002, "close 1005"),
        (&client(0x88, b"\0\0"), 1002, "close 0"),
        (&client(0x88, &9999u16.to_be_bytes()), 1002, "close 9999"),
        (&client(0x88, b"\x03\xe8\xff"), 1007, "close reason not UTF-8"),
        (&[0x81, 0xfe, 0, 5], 1002, "length not minimal, 16 bits"),
        (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 1002, "length not minimal, 64 bits"),
        (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002, "length with its highest bit"),
    ] {
        assert_eq!(code_of(bytes), code, "{why}");
    }
}

#[test]
fn a_length_over_the_limit_is_refused_by_its_header_alone() {
    let mut head = vec![0x81, 0xff];
    head.extend((i64::MAX as u64).to_be_bytes());
    assert_eq!(code_of(&head), 1009);
    let mut decoder = Decoder::default();
    assert!(decoder.next(&mut &head[..]).is_err());
    assert_eq!(decoder.message.capacity(), 0);

    // A declared length within the limit sets nothing aside either, until bytes come.
    let mut head = vec![0x81, 0xff];
    head.extend((MESSAGE_BYTES_MAX as u64).to_be_bytes());
    head.extend(MASK);
    let mut decoder = Decoder::default();
    assert_eq!(decoder.next(&mut &head[..]), Ok(None));
    assert_eq!(decoder.message.capacity(), 0);
    assert!(decoder.is_within_message());
}

#[test]
fn fragments_are_bounded_in_bytes_and_in_number() {
    let half = vec![b'x'; MESSAGE_BYTES_MAX / 2];
    let whole = [client(0x01, &half), client(0x80, &half)].concat();
    assert!(decode(&whole, 4096).is_ok());
    let over = [client(0x01, &half), client(0x00, &half), client(0x80, b"x")].concat();
    assert_eq!(decode(&over, 4096).unwrap_err().code, CloseCode::TOO_BIG);

    let mut many = client(0x01, b"");
    for _ in 0..FRAGMENTS_MAX {
        many.extend(client(0x00, b""));
    }
    assert_eq!(decode(&many, 4096).unwrap_err().code, CloseCode::TOO_BIG);
}

#[test]
fn an_idle_decoder_holds_no_memory() {
    let mut decoder = Decoder::default();
    let bytes = [client(0x81, &[b'x'; 100_000]), client(0x89, b"ping"), client(0x8a, b"pong")].concat();
    let mut input = &bytes[..];
    while let Ok(Some(_)) = decoder.next(&mut input) {}
    assert_eq!((decoder.message.capacity(), decoder.control.capacity()), (0, 0));
    assert!(!decoder.is_within_message());
    assert!(size_of::<Decoder>() <= 128, "{}", size_of::<Decoder>());
}

#[test]
fn server_frames_have_the_shortest_header_and_no_mask() {
    for (length, head) in [
        (0usize, &[0x81, 0][..]),
        (125, &[0x81, 125]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 0xff, 0xff]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut frame = TextFrame::with_capacity(0);
        frame.text().resize(HEAD_BYTES_MAX + length, b'x');
        let bytes = frame.finish();
        assert_eq!(&bytes[..head.len()], head, "{length}");
        assert_eq!(bytes.len(), head.len() + length);
    }
    assert_eq!(&ping()[..], [0x89, 0]);
    assert_eq!(&pong(b"abc")[..], b"\x8a\x03abc");
    assert_eq!(&close(None, "")[..], [0x88, 0]);
    assert_eq!(&close(Some(CloseCode::GOING_AWAY), "stopping")[..], b"\x88\x0a\x03\xe9stopping");
    assert_eq!(
        close(Some(CloseCode::POLICY), &"€".repeat(100)).len(),
        2 + 2 + 123,
        "41 whole characters fit"
    );
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let length = random() as usize % 64;
        let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if let Some(second) = bytes.get_mut(1) {
            *second |= MASKED;
        }
        if let Some(first) = bytes.first_mut() {
            *first &= !RESERVED;
        }
        let at_once = decode(&bytes, length.max(1));
        assert_eq!(decode(&bytes, 1), at_once, "{}", bytes.escape_ascii());
    }
}
