//! Each call with each fault of the sandbox: status, advice, time, secrecy, and the number of requests.

mod docs;
mod each_fault;
mod fixture;
mod pooled_connections;
mod retries;
mod table;
mod thread_log;
