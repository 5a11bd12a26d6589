//! Gives `libcmauth.so` its SONAME, and makes a link of that name, so that programs linked with `-lcmauth`
//! run from the build folder. Gives `cmauth.dll` its version.

use std::env;
use std::path::PathBuf;

const SONAME: &str = "libcmauth.so.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("windows") {
        windows_version();
    }
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    // A name lookup can outlive its call, so the code must stay loaded when a plugin host closes the library.
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

/// The version that Windows shows in a file's properties, as a resource that mingw's windres compiles.
fn windows_version() {
    if env::var("CARGO_CFG_TARGET_ENV").as_deref() != Ok("gnu") {
        println!("cargo:warning=cmauth.dll gets no version resource: this build script needs mingw's windres");
        return;
    }
    let part = |name: &str| env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    let (major, minor, patch) = (part("MAJOR"), part("MINOR"), part("PATCH"));
    let resource = format!(
        r#"1 VERSIONINFO
FILEVERSION {major},{minor},{patch},0
PRODUCTVERSION {major},{minor},{patch},0
FILEOS 0x40004
FILETYPE 0x2
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904B0"
    BEGIN
      VALUE "FileDescription", "The CameraManager login"
      VALUE "FileVersion", "{major}.{minor}.{patch}"
      VALUE "InternalName", "cmauth"
      VALUE "LegalCopyright", "MIT or Apache-2.0"
      VALUE "OriginalFilename", "cmauth.dll"
      VALUE "ProductName", "libcmauth"
      VALUE "ProductVersion", "{major}.{minor}.{patch}"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
"#
    );
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (source, object) = (folder.join("version.rc"), folder.join("version.o"));
    std::fs::write(&source, resource).expect("the build folder can be written");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let prefixed = format!("{arch}-w64-mingw32-windres");
    for windres in [prefixed.as_str(), "windres"] {
        let made = std::process::Command::new(windres).arg(&source).arg(&object).status();
        if made.is_ok_and(|status| status.success()) {
            println!("cargo:rustc-cdylib-link-arg={}", object.display());
            return;
        }
    }
    println!("cargo:warning=cmauth.dll gets no version resource: there is no {prefixed}");
}
