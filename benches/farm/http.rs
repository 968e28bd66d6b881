// SPDX-License-Identifier: Apache-2.0
//! The HTTP/1.1 back end, for front ends that do not speak AJP.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;

use crate::body;
use crate::responder::{Protocol, Request, broken};

/// HTTP/1.1 with kept connections and Content-Length.
pub struct Http;

impl Protocol for Http {
    fn response(&self, status: u16, body: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "HTTP/1.1 {status} {status}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        out.extend(body);
        out
    }

    fn read_request(&self, stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let path = line.split(' ').nth(1).ok_or_else(|| broken("request line without a path"))?.to_owned();
        let mut data = vec![0; read_length(stream)?];
        stream.read_exact(&mut data)?;
        let body_is_right = body::piece(0, data.len()) == Some(&data);
        Ok(Some(Request { path, body_is_right }))
    }
}

/// Reads the header lines and returns the length of the body.
fn read_length(stream: &mut BufReader<TcpStream>) -> io::Result<usize> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("closed in the middle of the header"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(length) };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| broken("Content-Length is not a number"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(broken("this back end takes no chunked body"));
        }
    }
}
