//! pkg-config and CMake find what `make install` installs, also after the whole tree was moved; `make uninstall`
//! removes it completely; and another project can contain the source.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::user::{run_with_user, tls_sandbox};
use common::{library, program, root, run, sanitized, scratch};

/// Whether the tools are installed. Prints the name of a missing one.
fn has(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    let Some(missing) = missing else { return sanitized().is_none() };
    common::skip_without(missing);
    false
}

fn script(action: &str, prefix: &Path, destdir: &Path, libdir: &str) {
    let target = library().parent().unwrap();
    run(Command::new(root().join("scripts/install"))
        .arg(action)
        .env("PREFIX", prefix)
        .env("DESTDIR", destdir)
        .env("LIBDIR", prefix.join(libdir))
        .env("CARGO_TARGET_DIR", target));
}

/// Installs into one folder, moves that to another, and returns the other.
fn moved_prefix(name: &str, libdir: &str) -> PathBuf {
    let folder = scratch(name);
    let (first, second) = (folder.join("first"), folder.join("second"));
    for old in [&first, &second] {
        let _ = fs::remove_dir_all(old);
    }
    script("install", &first, Path::new(""), libdir);
    fs::rename(first, &second).unwrap();
    second
}

/// Every file and link below a folder.
fn tree(folder: &Path) -> Vec<String> {
    let output = run(Command::new("find").args([".", "-not", "-type", "d"]).current_dir(folder));
    let mut files: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    files.sort();
    files
}

fn runs(program: &Path, library: &Path, name: &str) {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", library);
    run_with_user(command, &tls_sandbox(), name);
}

#[test]
fn install_installs_every_file_and_uninstall_removes_exactly_these() {
    if sanitized().is_some() {
        return;
    }
    let destdir = scratch("install").join("root");
    let _ = fs::remove_dir_all(&destdir);
    fs::create_dir_all(destdir.join("usr/lib/cmake/other")).unwrap();
    fs::create_dir_all(destdir.join("usr/include")).unwrap();
    fs::write(destdir.join("usr/lib/cmake/other/otherConfig.cmake"), "").unwrap();
    fs::write(destdir.join("usr/include/other.h"), "").unwrap();
    let before = tree(&destdir);
    // The second time replaces the files of the first.
    script("install", Path::new("/usr"), &destdir, "lib");
    script("install", Path::new("/usr"), &destdir, "lib");
    let version = env!("CARGO_PKG_VERSION");
    for file in [
        &format!("lib/libcmauth.so.{version}"),
        "lib/libcmauth.so.0",
        "lib/libcmauth.so",
        "lib/libcmauth.a",
        "include/cmauth.h",
        "include/cmauth.hpp",
        "lib/pkgconfig/cmauth.pc",
        "lib/cmake/cmauth/cmauthConfig.cmake",
        "lib/cmake/cmauth/cmauthConfigVersion.cmake",
        "share/man/man3/cmauth.3",
        "share/licenses/cmauth/LICENSE-MIT",
        "share/licenses/cmauth/LICENSE-APACHE",
    ] {
        let path = destdir.join("usr").join(file);
        // For a link this checks the target.
        assert!(fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0), "{file}");
        let text = fs::read(&path).unwrap();
        if !file.contains("libcmauth") {
            let text = String::from_utf8(text).unwrap();
            assert!(!text.contains('@') || file.ends_with(".h") || file.ends_with(".hpp"), "{file}: {text}");
            assert!(!text.contains(&*destdir.to_string_lossy()), "{file} contains DESTDIR");
        }
    }
    script("uninstall", Path::new("/usr"), &destdir, "lib");
    assert_eq!(tree(&destdir), before);
    assert!(!destdir.join("usr/lib/cmake/cmauth").exists() && !destdir.join("usr/share").exists());
}

#[test]
fn the_man_page_is_well_formed() {
    if !has(&["man"]) {
        return;
    }
    let prefix = moved_prefix("install-man", "lib");
    let page = prefix.join("share/man/man3/cmauth.3");
    let output =
        run(Command::new("man").args(["--warnings", "-l"]).arg(page).env("MANWIDTH", "120").env("LC_ALL", "C"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for piece in
        ["cm_session_tokens", "#include <cmauth.h>", "if (login && fgets(url, sizeof url, stdin)", "\\nand paste"]
    {
        assert!(text.contains(piece), "{piece} is not in {text}");
    }
}

#[test]
fn the_static_libraries_are_those_that_rustc_names() {
    if sanitized().is_some() {
        return;
    }
    let target = scratch("native-static-libs");
    // rustc prints the names only if it compiles.
    let mut clean = Command::new(env!("CARGO"));
    run(clean.args(["clean", "--package", "cmauth-c", "--target-dir"]).arg(&target).current_dir(root()));
    let output = run(Command::new(env!("CARGO"))
        .args(["rustc", "--package", "cmauth-c", "--profile", "dev", "--target-dir"])
        .arg(target)
        .args(["--crate-type", "staticlib", "--", "--print", "native-static-libs"])
        .current_dir(root()));
    let told = String::from_utf8_lossy(&output.stderr);
    let (_, named) = told.lines().find_map(|line| line.split_once("native-static-libs: ")).expect("rustc names them");
    for file in ["scripts/install", "CMakeLists.txt"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for library in named.split_whitespace() {
            assert!(text.contains(library), "{file} does not have {library} of {named}");
        }
    }
}

#[test]
fn pkg_config_finds_both_libraries_in_a_moved_prefix() {
    if !has(&["pkg-config"]) {
        return;
    }
    for libdir in ["lib", "lib/x86_64-linux-gnu"] {
        let name = format!("install-pkg-config-{}", libdir.len());
        let prefix = moved_prefix(&name, libdir);
        let pkg_config = |arguments: &[&str]| {
            let mut command = Command::new("pkg-config");
            command.args(arguments).arg("cmauth").env("PKG_CONFIG_PATH", prefix.join(libdir).join("pkgconfig"));
            let printed = String::from_utf8(run(&mut command).stdout).unwrap();
            printed.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
        for (compiler, source, standard) in
            [("cc", "end_to_end.c", "-std=c99"), ("c++", "every_member.cpp", "-std=c++17")]
        {
            let link_static: Vec<String> = pkg_config(&["--static", "--libs"])
                .into_iter()
                .map(|flag| if flag == "-lcmauth" { "-l:libcmauth.a".to_owned() } else { flag })
                .collect();
            for (how, flags) in [("shared", pkg_config(&["--libs"])), ("static", link_static)] {
                let executable = scratch(&name).join(how);
                run(Command::new(compiler)
                    .args([standard, "-D_GNU_SOURCE", "-pthread"])
                    .args(pkg_config(&["--cflags"]))
                    .arg(program(source))
                    .arg("-o")
                    .arg(&executable)
                    .args(flags));
                let found = if how == "shared" { prefix.join(libdir) } else { PathBuf::from("/nowhere") };
                runs(&executable, &found, &name);
            }
        }
    }
}

fn cmake(project: &str, build: &Path, definitions: &[String]) {
    let _ = fs::remove_dir_all(build);
    run(Command::new("cmake")
        .arg("-S")
        .arg(root().join("bindings/c/tests/consumers").join(project))
        .arg("-B")
        .arg(build)
        .args(definitions)
        .arg(format!("-DEND_TO_END_C={}", program("end_to_end.c").display()))
        .arg(format!("-DEVERY_MEMBER_CPP={}", program("every_member.cpp").display())));
    run(Command::new("cmake").arg("--build").arg(build));
}

#[test]
fn cmake_finds_both_libraries_in_a_moved_prefix() {
    if !has(&["cmake"]) {
        return;
    }
    let prefix = moved_prefix("install-cmake", "lib");
    let build = scratch("install-cmake").join("build");
    cmake("find_package", &build, &[format!("-DCMAKE_PREFIX_PATH={}", prefix.display())]);
    for program in ["end_to_end-cmauth", "every_member-cmauth"] {
        runs(&build.join(program), &prefix.join("lib"), "install-cmake");
    }
    for program in ["end_to_end-static", "every_member-static"] {
        runs(&build.join(program), Path::new("/nowhere"), "install-cmake");
    }
    // CMake rejects another minor version.
    let config = fs::read_to_string(root().join("bindings/c/tests/consumers/find_package/CMakeLists.txt")).unwrap();
    let other = scratch("install-cmake").join("other");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("CMakeLists.txt"), config.replace("cmauth 0.1", "cmauth 0.2")).unwrap();
    let output = Command::new("cmake")
        .arg("-S")
        .arg(&other)
        .arg("-B")
        .arg(other.join("build"))
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cmauthConfig.cmake, version: 0.1.0"));
}

#[test]
fn another_project_can_contain_the_source() {
    if !has(&["cmake"]) {
        return;
    }
    let build = scratch("install-vendored").join("build");
    let target = library().parent().unwrap();
    let definitions =
        [format!("-DLIBCMAUTH={}", root().display()), format!("-DCMAUTH_TARGET_DIR={}", target.display())];
    cmake("vendored", &build, &definitions);
    for program in ["end_to_end-cmauth", "every_member-cmauth", "end_to_end-static", "every_member-static"] {
        runs(&build.join(program), library(), "install-vendored");
    }
    // An installed program finds the installed library.
    let prefix = scratch("install-vendored").join("prefix");
    let _ = fs::remove_dir_all(&prefix);
    run(Command::new("cmake").arg("--install").arg(&build).arg("--prefix").arg(&prefix));
    for program in ["end_to_end-cmauth", "every_member-cmauth"] {
        runs(&prefix.join("bin").join(program), Path::new("/nowhere"), "install-vendored");
    }
    assert!(prefix.join("include/cmauth.hpp").exists());
}

#[test]
fn the_qt_window_logs_in_cancels_and_logs_out() {
    if !has(&["cmake", "Xvfb", "xvfb-run"]) {
        return;
    }
    let has_qt = |folder: fs::DirEntry| folder.path().join("cmake/Qt6").exists();
    if !fs::read_dir("/usr/lib").unwrap().flatten().any(has_qt) {
        return common::skip_without("Qt 6 (qt6-base-dev)");
    }
    let prefix = moved_prefix("install-qt", "lib");
    let build = scratch("install-qt").join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(root().join("examples/qt")).arg("-B").arg(&build);
    run(configure
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))
        .arg("-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"));
    run(Command::new("cmake").arg("--build").arg(&build));
    let mut command = Command::new("xvfb-run");
    command
        .args(["--auto-servernum", "--server-args", "-screen 0 640x480x24 -nolisten tcp"])
        .arg(build.join("window_test"));
    command.env("LD_LIBRARY_PATH", prefix.join("lib"));
    let printed = run_with_user(command, &tls_sandbox(), "install-qt");
    assert!(printed.contains("Totals: 5 passed, 0 failed"), "{printed}");
}

#[test]
fn meson_links_both_libraries_without_a_warning() {
    if !has(&["meson", "ninja", "pkg-config"]) {
        return;
    }
    let prefix = moved_prefix("install-meson", "lib");
    let project = scratch("install-meson").join("project");
    let _ = fs::remove_dir_all(&project);
    fs::create_dir_all(&project).unwrap();
    fs::copy(program("end_to_end.c"), project.join("end_to_end.c")).unwrap();
    for header in ["user.h", "check.h"] {
        fs::copy(program("end_to_end.c").with_file_name(header), project.join(header)).unwrap();
    }
    fs::write(
        project.join("meson.build"),
        "project('consumer', 'c', default_options: ['c_std=gnu99'])\n\
         executable('shared', 'end_to_end.c', dependencies: dependency('cmauth'))\n\
         executable('static', 'end_to_end.c', dependencies: dependency('cmauth', static: true))\n",
    )
    .unwrap();
    let build = project.join("build");
    let mut setup = Command::new("meson");
    setup.arg("setup").arg(&build).arg(&project).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let output = run(&mut setup);
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!told.to_lowercase().contains("warning"), "{told}");
    run(Command::new("ninja").arg("-C").arg(&build));
    runs(&build.join("shared"), &prefix.join("lib"), "install-meson");
    runs(&build.join("static"), Path::new("/nowhere"), "install-meson");
}
