//! What the HTTP servers answer that are compared: the answer, and the bounds, of the example.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

/// How long a head may take, and how long it may be.
pub(super) const HEAD_LIMIT: Duration = Duration::from_secs(30);
pub(super) const HEAD_BYTES: usize = 64 * 1_024;

/// How long a connection may be idle, where that is limited.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(60);

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The same answer to everything.
pub(super) async fn greet(
    _request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello, world!\n")));
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    Ok(response)
}

/// The answer by method and path, as the example has it.
pub(super) async fn route(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    let (status, text): (_, &'static [u8]) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => (StatusCode::OK, b"Hello, world!\n"),
        (&Method::POST | &Method::PUT, "/echo") => {
            return Ok(Response::new(Either::Right(request.into_body())));
        }
        (_, "/" | "/echo") => (StatusCode::METHOD_NOT_ALLOWED, b"not allowed here\n"),
        _ => (StatusCode::NOT_FOUND, b"nothing here\n"),
    };
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    Ok(response)
}
