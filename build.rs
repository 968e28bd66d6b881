// SPDX-License-Identifier: Apache-2.0
//! Compiles the C shim and generates the bindings to httpd's headers, both with what `apxs` says about the server.
//! `APXS` in the environment names another `apxs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "httpd")]
    httpd::build();
}

#[cfg(feature = "httpd")]
mod httpd {
    use std::env;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    const SHIM: [&str; 13] = [
        "mod_margay.c",
        "config.c",
        "standin.c",
        "request.c",
        "jk.c",
        "spool.c",
        "tunnel.c",
        "outgoing.c",
        "log.c",
        "expression.c",
        "heartbeat.c",
        "forward.c",
        "companion.c",
    ];

    pub fn build() {
        println!("cargo:rerun-if-changed=c-shim");
        println!("cargo:rerun-if-env-changed=APXS");
        let flags = header_flags();
        compile_shim(&flags);
        generate_bindings(&flags);
        list_directives();
        link_arguments();
    }

    /// Include paths and definitions of the server's headers.
    fn header_flags() -> Vec<String> {
        let mut flags = vec![format!("-I{}", apxs("INCLUDEDIR"))];
        for query in ["APR_INCLUDEDIR", "APU_INCLUDEDIR"] {
            flags.push(format!("-I{}", apxs(query)));
        }
        flags.extend(apxs("EXTRA_CPPFLAGS").split_whitespace().map(str::to_owned));
        flags
    }

    fn apxs(query: &str) -> String {
        let program = env::var("APXS").unwrap_or_else(|_| "apxs".to_owned());
        let output = Command::new(&program).args(["-q", query]).output().unwrap_or_else(|error| {
            panic!("cannot run {program} ({error}): install httpd's development files (Debian: apache2-dev) or name apxs in APXS")
        });
        assert!(
            output.status.success(),
            "{program} -q {query} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn compile_shim(flags: &[String]) {
        let mut shim = cc::Build::new();
        for file in SHIM {
            shim.file(format!("c-shim/{file}"));
        }
        for flag in flags {
            shim.flag(flag);
        }
        shim.flag("-fvisibility=hidden").flag("-Wall").flag("-Wextra").flag("-Wno-unused-parameter");
        // The module record is found by name in the finished file, though nothing in Rust mentions it.
        shim.link_lib_modifier("+whole-archive").link_lib_modifier("+export-symbols");
        shim.compile("margay_shim");
    }

    fn generate_bindings(flags: &[String]) {
        let bindings = bindgen::Builder::default()
            .header("c-shim/bindings.h")
            .clang_args(flags)
            .allowlist_function(
                "margay_(companion|expression|forward|jk|local|escape|piped|discard|port|log|out|outgoing|interim|tunnel|client|body|brigade|content|dialect|heartbeat|trace|is|ssl|answer|keeps)_?.*|ap_get_module_config|ap_set_module_config|\
                 ap_get_server_name|ap_get_server_port|ap_construct_url|ap_get_remote_host|ap_state_query|ap_mpm_query|ap_find_linked_module|\
                 ap_get_server_description|ap_get_server_built|ap_rwrite|ap_runtime_dir_relative|ap_server_root_relative|\
                 ap_regcomp|ap_regexec_len|ap_regfree|apr_palloc|apr_fnmatch|apr_fnmatch_test|apr_pool_cleanup_register|apr_pool_cleanup_null|apr_table_(get|set|setn|add|addn|unset|make|clear)|\
                 ap_set_content_length|ap_get_server_banner|ap_get_status_line|ap_get_status_line_ex",
            )
            .allowlist_type(
                "request_rec|conn_rec|server_rec|cmd_parms|ap_directive_t|apr_table_entry_t|apr_array_header_t|apr_sockaddr_t|mpm_child_status|ap_generation_t|pid_t",
            )
            .allowlist_var(
                "OK|DECLINED|DONE|AP_SQ_.*|AP_MPMQ_(STOPPING|GENERATION|MAX_THREADS|MPM_STATE|MAX_SPARE_THREADS)|APLOG_.*|PROXYREQ_.*|REMOTE_HOST|\
                 AP_FILTER_ERROR|MARGAY_.*|M_TRACE|M_CONNECT|M_OPTIONS|M_GET|M_POST|MPM_CHILD_.*|margay_module|ap_conftree|ap_server_conf|ap_unixd_config|AP_CONN_.*",
            )
            .prepend_enum_name(false)
            .layout_tests(false)
            .derive_debug(false)
            .generate_comments(false)
            .generate()
            .expect("bindgen reads httpd's headers (Debian: libclang-dev)");
        bindings.write_to_file(out_file("bindings.rs")).expect("the output folder is writable");
    }

    /// The names and dialects in `directives.def`, by id.
    fn list_directives() {
        let text = fs::read_to_string("c-shim/directives.def").expect("c-shim/directives.def is there");
        let lines = text.lines().filter_map(|line| line.strip_prefix("DIRECTIVE("));
        let (names, dialects): (Vec<&str>, Vec<&str>) = lines
            .filter_map(|rest| {
                let mut words = rest.split(',').map(str::trim);
                Some((words.next()?, words.next()?))
            })
            .unzip();
        let lists =
            format!("pub const NAMES: &[&str] = &{names:?};\npub const DIALECTS: &[&str] = &{dialects:?};\n");
        fs::write(out_file("directives.rs"), lists).expect("the output folder is writable");
    }

    fn link_arguments() {
        // A file that stays loaded keeps its statics over restarts, whatever a library does with thread-locals.
        println!("cargo:rustc-link-arg-cdylib=-Wl,-z,nodelete");
        println!("cargo:rustc-link-arg-cdylib=-Wl,-soname,mod_margay.so");
    }

    fn out_file(name: &str) -> PathBuf {
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the output folder")).join(name)
    }
}
