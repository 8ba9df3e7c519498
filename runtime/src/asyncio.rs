//! asyncio call by asyncio call: the corelane call, a short example each, and every deliberate difference.
#![doc = include_str!("../ASYNCIO.md")]
