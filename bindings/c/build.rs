//! Gives `libcmauth.so` its SONAME, and lays the link of that name beside it, so that programs linked with `-lcmauth`
//! run from the build folder.

use std::env;
use std::path::PathBuf;

const SONAME: &str = "libcmauth.so.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // A look-up thread can outlive its call: the code must stay where it is when a plugin host closes the library.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");

    #[cfg(unix)]
    if let Some(out_dir) = env::var_os("OUT_DIR").map(PathBuf::from) {
        // <target>/<profile>/build/<package>/out
        if let Some(profile_dir) = out_dir.ancestors().nth(3) {
            let link = profile_dir.join(SONAME);
            let _ = std::fs::remove_file(&link);
            if let Err(error) = std::os::unix::fs::symlink("libcmauth.so", &link) {
                println!("cargo:warning=cannot make the link {}: {error}", link.display());
            }
        }
    }
}
