//! The command lines: those of the man pages' examples, one or more for each option, and wrong ones.

use crate::case::{Case, Compare};

/// All command lines, of which no two need the same topic.
pub(crate) fn cases() -> Vec<Case> {
    [
        manual(),
        publish(),
        publish_input(),
        publish_properties(),
        subscribe(),
        debug(),
        retained(),
        formats(),
        json(),
        request(),
        session(),
        refused(),
        transport(),
        usage_of_values(),
        usage_of_topics(),
        usage_of_properties(),
        missing_values(),
        unknown_options(),
    ]
    .concat()
}

/// The examples of the man pages, as they stand there but for hosts that nobody has.
fn manual() -> Vec<Case> {
    let temperature = "-V 5 -q 2 -t sensors/# -t switches/# -t my/# -C 1 -W 5 -F '%t %q %r %p'";
    let publishes = |line, topic| {
        Case::publisher(line)
            .observed_by(temperature)
            .subscribed(topic)
            .unchanged()
            .alone()
    };
    let subscribes = |line, topic, during: &[&'static str]| {
        Case::subscribes(line, during)
            .subscribed(topic)
            .unchanged()
            .alone()
    };
    vec![
        publishes("-t sensors/temperature -m 32 -q 1", "sensors/"),
        publishes("-t sensors/temperature -m \"1266193804 32\"", "sensors/"),
        publishes("-r -t switches/kitchen_lights/status -m \"on\"", "sensors/"),
        publishes("-t my/topic -f {files}/message", "sensors/"),
        publishes("-t my/topic -s", "sensors/").stdin("all of it\nas one message\n"),
        publishes("-t sensors/cc128 -l", "sensors/").stdin("one reading\n"),
        subscribes(
            "-t sensors/temperature -q 1 -C 1",
            "sensors/temperature",
            &["-t sensors/temperature -m 21 -q 1"],
        ),
        subscribes(
            "-t sensors/machines/+/temperature/+ -C 2",
            "sensors/machines",
            &[
                "-t sensors/machines/a/temperature/sda -m 30",
                "-t sensors/machines/b/temperature/sdb -m 31",
            ],
        ),
        subscribes("-v -t $SYS/broker/version -C 1", "$SYS", &[]).on_mosquitto(),
        subscribes(
            "-F '@Y-@m-@dT@H:@M:@S@z : %t : %x' -t '#' -C 1",
            "#",
            &["-t any/topic -m hello"],
        )
        .without_digits(),
        subscribes(
            "-F '%%s.@N : %r : %q : %m : %l' -q 2 -t '#' -C 1",
            "#",
            &["-t any/topic -m hello -q 2"],
        )
        .without_digits(),
        subscribes(
            "-F '@s.@N : %r : %q : %m : %l' -q 2 -t '#' -C 1",
            "#",
            &["-t any/topic -m hello -q 2"],
        )
        .without_digits(),
        subscribes(
            "-F '\\e[92m%t \\e[96m%p\\e[0m' -q 2 -t '#' -C 1",
            "#",
            &["-t any/topic -m hello"],
        ),
        subscribes(
            "-t bbc/# -T bbc/radio3 -C 1",
            "bbc/",
            &["-t bbc/radio3 -m no", "-t bbc/radio4 -m yes"],
        ),
        subscribes(
            "-t sensors/# -U sensors/+/temperature -v -C 1",
            "sensors/#",
            &["-t sensors/a/temperature -m 1"],
        ),
        Case::subscribes(
            "-t 'bbc/#' -T bbc/bbc1 --remove-retained -v -W 1",
            &["-t bbc/end -m x -q 1"],
        )
        .before(&["-r -t bbc/bbc1 -m stays", "-r -t bbc/bbc2 -m goes"])
        .subscribed("bbc/#")
        .unchanged()
        .alone(),
        Case::requests(
            "-t request-topic -e response-topic -m message",
            &["-t response-topic -m answer"],
        )
        .observed_by("-V 5 -t request-topic -C 1 -W 5 -F '%t %p %R'")
        .subscribed("request-topic")
        .unchanged()
        .alone(),
    ]
}

fn publish() -> Vec<Case> {
    vec![
        Case::publishes(1, "-t {t}/a -m hello"),
        Case::publishes(1, "-t {t}/a -m hello -q 1"),
        Case::publishes(1, "-t {t}/a -m hello -q 2"),
        Case::publishes(1, "--topic {t}/a --message hello --qos 1"),
        Case::publishes(1, "-t {t}/a -m ''"),
        Case::publishes(1, "-t {t}/a -n"),
        Case::publishes(1, "-t {t}/a --null-message -q 2"),
        Case::publishes(1, "-t {t}/first -t {t}/last -m x"),
        Case::publishes(1, "-t {t}/a -m -m"),
        Case::publishes(1, "-t {t}/a -m 'with spaces and é'"),
        Case::publishes(1, "-t '{t}/a b/é' -m x"),
        Case::publishes(1, "-t {t}/a -m x -q abc"),
        Case::publishes(1, "-t {t}/a -m x -V 31"),
        Case::publishes(1, "-t {t}/a -m x -V mqttv31"),
        Case::publishes(1, "-t {t}/a -m x -V mqttv311 -q 1"),
        Case::publishes(1, "-t {t}/a -m x --protocol-version mqttv5 -q 2"),
        Case::publishes(3, "-t {t}/a -m x --repeat 3"),
        Case::publishes(3, "-t {t}/a -m x --repeat 3 -q 1"),
        Case::publishes(2, "-t {t}/a -m x --repeat 2 --repeat-delay 0.2 -q 2"),
        Case::publishes(2, "-t {t}/a -n --repeat 2"),
        Case::publishes(1, "-t {t}/a -m x -i {t}-client"),
        Case::publishes(1, "-t {t}/a -m x --id {t}-client -V 5"),
        Case::publishes(1, "-t {t}/a -m x -I {t}-prefix-"),
        Case::publishes(1, "-t {t}/a -m x --id-prefix {t}-prefix-"),
        Case::publishes(1, "-t {t}/a -m x -k 30"),
        Case::publishes(1, "-t {t}/a -m x --keepalive 5"),
        Case::publishes(1, "-t {t}/a -m x -M 1 -q 2"),
        Case::publishes(1, "-t {t}/a -m x --nodelay"),
        Case::publishes(1, "-t {t}/a -m x -A 127.0.0.1"),
        Case::publishes(1, "-t {t}/a -m x -c -i {t}-kept"),
        Case::publishes(
            1,
            "-t {t}/a -m x --disable-clean-session -i {t}-kept -V 5 -x 0",
        ),
        Case::publishes(1, "-t {t}/a -m x -x 30 -V 5"),
        Case::publishes(1, "-t {t}/a -m x -x ∞ -V 5 -i {t}-kept"),
        Case::publishes(1, "-t {t}/a -m x --quiet"),
        Case::publishes(1, "-t {t}/a -m x -u joe -P secret"),
        Case::publishes(1, "-t {t}/a -m x --username joe --pw secret -V 5"),
        Case::publishes(1, "-t {t}/a -m x -P secret -V 5"),
        Case::publishes(
            1,
            "-t {t}/a -m x --will-topic {t}/will --will-payload gone --will-qos 1 --will-retain",
        ),
        Case::publishes(1, "-t {t}/a -m x --will-topic {t}/will"),
        Case::publishes(1, "-t {t}/a -m x --will-qos 1"),
        Case::publishes(1, "-L mqtt://127.0.0.1:{port}/{t}/a/b -m x"),
        Case::publishes(
            1,
            "--url mqtt://joe:secret@127.0.0.1:{port}/{t}/a -m x -q 1",
        ),
        Case::publishes(
            1,
            "--host 127.0.0.1 --port {port} -h 127.0.0.1 -p {port} -t {t}/a -m x",
        ),
        Case::publishes(1, "-h localhost -p {port} -t {t}/a -m x"),
        Case::publishes(1, "-m x -t {t}/a").options("-q 2\n#-q 1\n-i {t}-options\n"),
        Case::publishes(1, "-m x -t {t}/a -q 1")
            .options("-q 2\n--will-topic {t}/w\n--will-payload two words\n"),
    ]
}

fn publish_input() -> Vec<Case> {
    let long = "0123456789".repeat(500);
    let many: String = (0..30).map(|number| format!("line {number}\n")).collect();
    vec![
        Case::publishes(1, "-t {t}/a -f {files}/message"),
        Case::publishes(1, "-t {t}/a --file {files}/empty -q 1"),
        Case::publishes(1, "-t {t}/a -s").stdin(b"some\nlines\xff\0 of bytes"),
        Case::publishes(1, "-t {t}/a --stdin-file -q 2").stdin("x"),
        Case::publishes(2, "-t {t}/a -f {files}/message --repeat 2"),
        Case::publishes(2, "-t {t}/a -s --repeat 2").stdin("all"),
        Case::publishes(4, "-t {t}/a -l").stdin("one\n\nthree\nlast without end"),
        Case::publishes(3, "-t {t}/a --stdin-line -q 1").stdin("one\ntwo\nthree\n"),
        Case::publishes(3, "-t {t}/a -l -q 2 -V 5").stdin("one\ntwo\nthree\n"),
        Case::publishes(2, "-t {t}/a -l").stdin(format!("{long}\n{long}")),
        Case::publishes(30, "-t {t}/a -l -q 1 -M 5").stdin(many),
        Case::publishes(1, "-t {t}/a -l -r").stdin("kept\n"),
        Case::publisher("-t {t}/a -l").stdin(""),
        Case::publisher("-t {t}/a -l -q 2 -V 5").stdin(""),
        Case::publisher("-t {t}/a -s").stdin(""),
        Case::publisher("-t {t}/a -f {files}/missing").stderr(Compare::FirstLine),
    ]
}

fn publish_properties() -> Vec<Case> {
    vec![
        Case::publishes(1, "-t {t}/a -m x -D publish content-type text/plain"),
        Case::publishes(
            1,
            "-t {t}/a -m x --property PUBLISH Content-Type text/plain",
        ),
        Case::publishes(
            1,
            "-t {t}/a -m x -q 1 -D publish user-property a b -D publish user-property a c",
        ),
        Case::publishes(
            1,
            "-t {t}/a -m x -D publish correlation-data 'some bytes' -D publish response-topic {t}/r",
        ),
        Case::publishes(1, "-t {t}/a -m x -D publish payload-format-indicator 1"),
        Case::publishes(1, "-t {t}/a -m x -D publish message-expiry-interval 3600"),
        Case::publishes(1, "-t {t}/a -m x -D publish topic-alias 3"),
        Case::publishes(3, "-t {t}/a -m x -D publish topic-alias 3 --repeat 3 -q 1"),
        Case::publishes(
            1,
            "-t {t}/a -m x -D connect user-property a b -D connect receive-maximum 5",
        ),
        Case::publishes(
            1,
            "-t {t}/a -m x -D connect maximum-packet-size 1000 -D connect topic-alias-maximum 4",
        ),
        Case::publishes(1, "-t {t}/a -m x -D connect request-problem-information 0"),
        Case::publishes(1, "-t {t}/a -m x -D connect request-response-information 1"),
        Case::publishes(
            1,
            "-t {t}/a -m x -D connect session-expiry-interval 10 -D disconnect session-expiry-interval 5",
        ),
        Case::publishes(1, "-t {t}/a -m x -D disconnect user-property a b"),
        Case::publishes(
            1,
            "-t {t}/a -m x --will-topic {t}/w -D will will-delay-interval 3 -D will content-type a",
        ),
        Case::publishes(1, "-t {t}/a -m x -D will will-delay-interval 3"),
        Case::publishes(1, "-t {t}/a -m x -D subscribe user-property a b"),
        Case::publisher("-t {t}/a -m x -D connect authentication-method unheard-of").on_mosquitto(),
    ]
}

fn subscribe() -> Vec<Case> {
    let two = &["-t {t}/a -m one", "-t {t}/b -m two"];
    vec![
        Case::subscribes("-t {t}/a -C 1", &["-t {t}/a -m one"]),
        Case::subscribes("-t {t}/# -C 2", two),
        Case::subscribes("-t {t}/# -v -C 2", two),
        Case::subscribes("--topic {t}/# --verbose -C 2", two),
        Case::subscribes("-t {t}/# -N -C 2", two),
        Case::subscribes("-t {t}/# -N -v -C 2", two),
        Case::subscribes("-t {t}/a -t {t}/b -C 2 -v", two),
        Case::subscribes(
            "-t {t}/+ -C 2 -v -q 1",
            &["-t {t}/a -m one -q 2", "-t {t}/b -m two -q 1"],
        ),
        Case::subscribes("-t {t}/# -C 1 -v -q 2", &["-t {t}/a/b/c -m x -q 2"]),
        Case::subscribes("-t {t}/# -C 1 --qos 2 -V 5", &["-t {t}/a -m x -q 2"]),
        Case::subscribes("-t {t}/# -C 1 -V 31", &["-t {t}/a -m x"]),
        Case::subscribes(
            "-t {t}/# -C 3 -v",
            &["-t {t}/a -n", "-t {t}/a -m ''", "-t {t}/a -m x"],
        ),
        Case::subscribes(
            "-t {t}/# -C 3",
            &["-t {t}/a -n", "-t {t}/a -m ''", "-t {t}/a -m x"],
        ),
        Case::subscribes("-t {t}/# -C 2 -N -v", &["-t {t}/a -n", "-t {t}/a -m x"]),
        Case::subscribes("-t {t}/# -C 1", &["-t {t}/a -f {files}/message"]),
        Case::subscribes("-t {t}/# -v -C 1 -T {t}/a", two),
        Case::subscribes(
            "-t {t}/# -v -C 1 --filter-out {t}/a/# -T {t}/b/+",
            &["-t {t}/a -m 1", "-t {t}/b/c -m 2", "-t {t}/b -m 3"],
        ),
        Case::subscribes("-t {t}/a -W 1", &["-t {t}/a -m one"]),
        Case::subscribes("-t {t}/a -W 1 --quiet", &["-t {t}/a -m one"]),
        Case::subscribes("-t {t}/# -W 1 -C 3", two),
        Case::subscribes("-t {t}/a -E", &[]),
        Case::subscribes("-t {t}/a -t {t}/b -E -V 5 -q 1", &[]),
        Case::subscribes("-t {t}/a -U {t}/b -E", &[]),
        Case::subscribes(
            "-t {t}/a -t {t}/b -U {t}/b -W 1 -v",
            &["-t {t}/b -m no", "-t {t}/a -m yes"],
        ),
        Case::subscribes(
            "-t {t}/a -C 1 --unsubscribe {t}/b -V 5 -D unsubscribe user-property a b",
            &["-t {t}/a -m yes"],
        ),
        Case::subscribes(
            "-t {t}/a -C 1 -D subscribe subscription-identifier 77 -F '%S %p'",
            &["-t {t}/a -m yes"],
        ),
        Case::subscribes(
            "-t {t}/a -C 1 -D subscribe user-property a b",
            &["-t {t}/a -m yes"],
        ),
        Case::subscribes("-t {t}/a -C 1 --random-filter 100 -W 3", &[]).stdout(Compare::Nothing),
        Case::subscribes("-t $share/group/{t}/a -C 1 -v", &["-t {t}/a -m shared"]),
        Case::subscribes("-L mqtt://127.0.0.1:{port}/{t}/a -t {t}/b -v -C 2", two),
        Case::subscribes(
            "-t {t}/a -C 1 -i {t}-client -k 10 -A 127.0.0.1 --nodelay",
            &["-t {t}/a -m x"],
        ),
        Case::subscribes(
            "-t {t}/a -C 1 -I {t}- --will-topic {t}/w --will-payload x",
            &["-t {t}/a -m x"],
        ),
        Case::subscribes("-t {t}/a -C 1 -M 3 -u joe -P secret", &["-t {t}/a -m x"]),
        Case::subscribes("-v -C 2", &["-t {t}/a -m one", "-t {t}/b -m two"])
            .options("-t {t}/a\n-t {t}/b\n"),
        Case::subscribes("-t {t}/# -C 200 -q 1", &["-t {t}/a -q 1 -m x --repeat 200"]),
        Case::subscribes(
            "-t {t}/# -C 100 -q 0 -v",
            &["-t {t}/a -q 0 -m x --repeat 100"],
        ),
    ]
}

/// What `-d` tells.
fn debug() -> Vec<Case> {
    let one = &["-t {t}/a -m one -q 2"];
    vec![
        Case::publishes(1, "-t {t}/a -m x -d"),
        Case::publishes(1, "-t {t}/a -m x -d -q 1 -r"),
        Case::publishes(1, "-t {t}/a -m x --debug -q 2 -i {t}-id"),
        Case::publishes(2, "-t {t}/a -m x -d -q 2 -i {t}-id -V 5 --repeat 2"),
        Case::publishes(1, "-t {t}/a -n -d -V 5 -i {t}-id"),
        Case::subscribes("-t {t}/a -E -d", &[]),
        Case::subscribes("-t {t}/a -t {t}/b -q 2 -E -d -V 5 -i {t}-id", &[]),
        Case::subscribes(
            "-t {t}/a -E -d -R --retain-as-published -V 5 -i {t}-id",
            &[],
        ),
        Case::subscribes("-t {t}/a -C 1 -d", one),
        // Ours acknowledges once the payload is written, Mosquitto's before.
        Case::subscribes("-t {t}/a -C 1 -d -q 1 -i {t}-id", one).stdout(Compare::FirstLine),
    ]
}

fn retained() -> Vec<Case> {
    let old: &[&'static str] = &["-r -t {t}/a -m old", "-r -t {t}/b -m older"];
    let fresh = &["-t {t}/c -m fresh"];
    vec![
        Case::publishes(1, "-t {t}/a -m x -r"),
        Case::publishes(1, "-t {t}/a -m x --retain -q 1"),
        Case::subscribes("-t {t}/# -v -C 2", &[]).before(old),
        Case::subscribes("-t {t}/# -v -C 1 -R", fresh).before(old),
        Case::subscribes("-t {t}/# -v -C 1 -R -V 5", fresh).before(old),
        Case::subscribes("-t {t}/# -v --retained-only", fresh).before(old),
        Case::subscribes("-t {t}/# -v --retained-only -V 5 -q 2", fresh).before(old),
        Case::subscribes("-t {t}/# -F '%r %t %p' -C 3", fresh).before(old),
        Case::subscribes(
            "-t {t}/# -F '%r %t %p' -C 1 --retain-as-published -V 5",
            &["-r -t {t}/c -m kept"],
        ),
        Case::subscribes("-t {t}/# -F '%r %t %p' -C 1 -V 5", &["-r -t {t}/c -m kept"]),
        Case::subscribes("-t {t}/# -v --remove-retained -W 1", &[]).before(old),
        Case::subscribes("-t {t}/# -v --remove-retained -W 1 -R", &[]).before(old),
        Case::publishes(1, "-t {t}/a -n -r")
            .before(&["-r -t {t}/other -m x", "-r -t {t}/other -n"]),
    ]
}

fn formats() -> Vec<Case> {
    let message = &[
        "-V 5 -t {t}/a -m hello -q 1 -D publish content-type text -D publish message-expiry-interval 50 -D publish payload-format-indicator 1 -D publish response-topic r -D publish correlation-data corr -D publish user-property a b -D publish user-property c d",
    ];
    let prints = |format: &str| {
        Case::subscribes(&format!("-V 5 -q 1 -t {{t}}/# -C 1 -F '{format}'"), message)
    };
    let plain = |format: &str| {
        Case::subscribes(
            &format!("-t {{t}}/# -C 1 -F '{format}'"),
            &["-t {t}/a -m hello"],
        )
    };
    vec![
        prints("%t %p"),
        prints("%A|%C|%D|%E|%F|%P|%R|%S"),
        prints("%l %m %q %r"),
        prints("%x %X"),
        prints("%% @@ \\\\ %%p"),
        prints("%10t|%-10t|%010t|%.3t|%8.3t|%-8.3t|%.t"),
        prints("%10p|%-10p|%010p|%3p|%-3p|%.2p|%-p|"),
        prints("%10x|%-10X|%012x|%3x|%-3x|%4x|%-x|"),
        prints("%10l|%-10l|%010l|%5m|%05m|%-5m|%-010l|"),
        prints("%5E|%05E|%-5E|%5F|%05F|%8C|%-8C|%.2C|%8R|%-8R|%.0R|"),
        prints("%5A|%05A|%5S|%05S|%-5S|"),
        plain("%5A|%05A|%5C|%05C|%5E|%5F|%05F|%5R|%5S|%D|%P|"),
        prints("a\\0b\\ac\\ed\\ne\\rf\\tg\\vh"),
        prints("%5%|%5q|%5r"),
        plain("%I|%30I|%-30I|%.10I|%20.4I").without_digits(),
        plain("%U").without_digits(),
        plain("@Y-@m-@d @H:@M:@S.@N @z @Z @s").without_digits(),
        plain("@a @A @b @B @p @P @h").stdout(Compare::WithoutDigits),
        plain("@c|@C|@D|@e|@F|@g|@G|@I|@j|@k|@l|@n|@r|@R|@t|@T|@u|@U|@V|@w|@W|@x|@X|@y")
            .without_digits(),
        plain("@E|@f|@i|@J|@K|@L|@o|@O|@q|@Q|@v|@1|@+|@-|@_|@^|@:|@%"),
        Case::subscribes(
            "-t {t}/# -C 2 -N -F '%t:%p;'",
            &["-t {t}/a -m one", "-t {t}/b -m two"],
        ),
        Case::subscribes("-t {t}/# -C 1 -v -F '%p'", &["-t {t}/a -m one"]),
        Case::subscribes("-t {t}/# -C 1 -F ''", &["-t {t}/a -m one"]),
    ]
}

fn json() -> Vec<Case> {
    let message = &[
        "-V 5 -t {t}/a -m hello -q 1 -D publish content-type text -D publish message-expiry-interval 50 -D publish payload-format-indicator 1 -D publish response-topic r -D publish correlation-data corr -D publish user-property a b -D publish user-property a d",
    ];
    let plain = |options: &str, during| {
        Case::subscribes(&format!("-t {{t}}/# -C 1 {options}"), during).without_digits()
    };
    vec![
        plain("-F %j", &["-t {t}/a -m hello"]),
        plain("-F %j -q 2", &["-t {t}/a -m hello -q 2"]),
        plain("-F %j -q 1 -V 5", message),
        plain("-F %j -q 1 -V 5 --pretty", message),
        plain("-F %j", &["-t {t}/a -n"]),
        plain("-F %j", &["-t {t}/a -m 'quotes \" and \\ and é'"]),
        plain("-F %j", &["-t {t}/a -f {files}/message"]),
        plain("-F '%j %t'", &["-t {t}/a -m x"]),
        plain(
            "-F %J",
            &[
                "-t {t}/a -m '{\"a\":27.0,\"b\":[1,2.5,1e30,0.1,1e-7,12345678901234567890,-0,1e300,123456789012]}'",
            ],
        ),
        plain(
            "-F %J",
            &[
                "-t {t}/a -m '{\"c\":{},\"d\":[],\"e\":\"\\u00e9\\n\\/\\\"\",\"f\":null,\"a\":true,\"a\":false}'",
            ],
        ),
        plain(
            "-F %J --pretty",
            &["-t {t}/a -m '{\"a\":[1,{\"q\":[]},2],\"c\":{},\"d\":[],\"f\":null}'"],
        ),
        plain("-F %J", &["-t {t}/a -m ' 1 '"]),
        plain("-F %J", &["-t {t}/a -m true"]),
        plain("-F %J", &["-t {t}/a -n"]),
        plain("-F '<%J>'", &["-t {t}/a -m nothing"]),
        plain("-F '<%J>' --quiet", &["-t {t}/a -m '{'"]),
    ]
}

fn request() -> Vec<Case> {
    let answer = &["-t {t}/response -m answer"];
    vec![
        Case::requests("-t {t}/request -e {t}/response -m question", answer),
        Case::requests("-t {t}/request -e {t}/response -m question -v", answer),
        Case::requests("-t {t}/request -e {t}/response -m question -q 1", answer),
        Case::requests(
            "-t {t}/request -e {t}/response -m question -q 2 -F '%t %p %q'",
            &["-q 2 -t {t}/response -m answer"],
        ),
        Case::requests("-t {t}/request -e {t}/response -n", answer),
        Case::requests("-t {t}/request -e {t}/response -m question -V 311", answer),
        Case::requests("-t {t}/request -e {t}/response -m question -N", answer),
        Case::requests("-t {t}/request -e {t}/response -m question -W 5", answer),
        Case::requests("-t {t}/request -e {t}/response -m question -W 1", &[]),
        Case::requests(
            "-t {t}/request -e {t}/response -m question -W 1 --quiet",
            &[],
        ),
        Case::requests(
            "-t {t}/request -e {t}/response -m question -D publish correlation-data 42 -D publish user-property a b",
            answer,
        ),
        Case::requests("-t {t}/request -e {t}/response -m question -F %j", answer).without_digits(),
        Case::requests(
            "-t {t}/request -e {t}/response -m question -F %j --pretty",
            answer,
        )
        .without_digits(),
        Case::requests(
            "-L mqtt://127.0.0.1:{port}/{t}/request -e {t}/response -m question",
            answer,
        ),
        Case::requests("-e {t}/response -m question", answer).options("-t {t}/request\n-v\n"),
    ]
}

fn session() -> Vec<Case> {
    vec![
        Case::subscribes("-t {t}/a -q 1 -c -i {t}-kept -E", &[]),
        Case::subscribes("-t {t}/a -q 1 -c -i {t}-kept -E -V 5", &[]),
        Case::subscribes("-t {t}/a -q 1 -c -i {t}-kept -E -V 5 -x 10", &[]),
        Case::subscribes("-t {t}/a -q 1 -x 10 -i {t}-kept -E -V 5", &[]),
        Case::subscribes("-t {t}/a -q 1 -x -1 -i {t}-kept -E -V 5", &[]),
    ]
}

fn refused() -> Vec<Case> {
    let on_auth =
        |program: fn(&str) -> Case, line: &str| program(&format!("{{auth}} {line}")).on_mosquitto();
    let sub = |line: &str| Case::subscribes(line, &[]);
    let rr = |line: &str| Case::requests(line, &[]).unobserved();
    vec![
        on_auth(Case::publisher, "-t {t}/a -m x"),
        on_auth(Case::publisher, "-t {t}/a -m x --quiet"),
        on_auth(Case::publisher, "-t {t}/a -m x -V 5"),
        on_auth(Case::publisher, "-t {t}/a -m x -V 31"),
        on_auth(Case::publisher, "-t {t}/a -m x -u joe -P wrong"),
        on_auth(Case::publisher, "-t {t}/a -m x -u joe -P wrong -V 5"),
        on_auth(Case::publisher, "-t {t}/a -l"),
        on_auth(Case::publisher, "-t {t}/a -m x -u joe -P secret"),
        on_auth(Case::publisher, "-t {t}/a -m x -u joe -P secret -q 1"),
        on_auth(Case::publisher, "-t {t}/a -m x -u joe -P secret -q 1 -V 5"),
        on_auth(Case::publisher, "-t {t}/a -m x -u joe -P secret -q 2 -V 5"),
        on_auth(
            Case::publisher,
            "-t {t}/a -m x -u joe -P secret -q 1 -V 5 --quiet",
        ),
        on_auth(sub, "-t {t}/a -C 1"),
        on_auth(sub, "-t {t}/a -C 1 -V 5"),
        on_auth(sub, "-t {t}/a -C 1 --quiet"),
        on_auth(sub, "-t {t}/a -E -u joe -P secret"),
        on_auth(rr, "-t {t}/request -e {t}/response -m x"),
        on_auth(rr, "-t {t}/request -e {t}/response -m x -V 311").stderr(Compare::Nothing),
        Case::publisher("{closed} -t {t}/a -m x"),
        Case::publisher("{closed} -t {t}/a -m x --quiet"),
        Case::publisher("{closed} -t {t}/a -l").stdin("x\n"),
        Case::subscribes("{closed} -t {t}/a", &[]),
        rr("{closed} -t {t}/request -e {t}/response -m x"),
        Case::publisher("-h nobody.invalid -t {t}/a -m x"),
        Case::subscribes("-h nobody.invalid -t {t}/a", &[]),
        Case::publisher("--unix {files}/no-socket -t {t}/a -m x"),
        Case::publisher("-t {t}/a -m x --proxy socks5h://127.0.0.1:1"),
        Case::publisher("-t '' -m x"),
    ]
}

fn transport() -> Vec<Case> {
    let sends = |line: &str| Case::publishes(1, &format!("{line} -t {{t}}/a -m x")).on_mosquitto();
    let fails = |line: &str| Case::publisher(&format!("{line} -t {{t}}/a -m x")).on_mosquitto();
    vec![
        sends("--unix {unix}"),
        sends("--unix {unix} -V 5 -q 2"),
        sends("{here} --proxy socks5h://{proxy}"),
        sends("-h localhost -p {port} --proxy socks5h://{proxy}"),
        sends("{here} --proxy socks5h://joe:secret@{proxy} -q 1"),
        fails("{here} --proxy socks5h://joe:wrong@{proxy}").in_some_way(),
        sends("{tls} --cafile {files}/ca.pem --proxy socks5h://{proxy} -V 5"),
        sends("{tls} --cafile {files}/ca.pem"),
        sends("{tls} --cafile {files}/ca.pem -V 5 -q 1"),
        sends("{tls} --cafile {files}/ca.pem --tls-version tlsv1.2"),
        sends("{tls} --cafile {files}/ca.pem --tls-version tlsv1.3"),
        sends("{tls} --cafile {files}/ca.pem --tls-alpn mqtt"),
        sends("{stranger} --cafile {files}/ca.pem --insecure"),
        sends(
            "{strict} --cafile {files}/ca.pem --cert {files}/client.pem --key {files}/client.key",
        ),
        sends(
            "{strict} --cafile {files}/ca.pem --cert {files}/client.pem --key {files}/client.key --keyform pem",
        ),
        fails("{tls} --cafile {files}/other-ca.pem").in_some_way(),
        fails("{stranger} --cafile {files}/ca.pem").in_some_way(),
        fails("{here} --cafile {files}/ca.pem").in_some_way(),
        fails("{tls} --cafile {files}/missing.pem").stderr(Compare::FirstLine),
        fails("{tls} --cafile {files}/ca.pem --tls-version 7").stderr(Compare::FirstLine),
        Case::subscribes(
            "{tls} --cafile {files}/ca.pem -t {t}/a -C 1",
            &["-t {t}/a -m x"],
        )
        .on_mosquitto(),
    ]
}

fn usage(program: &str, lines: &[&str]) -> Vec<Case> {
    lines
        .iter()
        .map(|line| Case::usage(program, line))
        .collect()
}

fn usage_of_values() -> Vec<Case> {
    let mut cases = usage(
        "pub",
        &[
            "-t a -m x -n",
            "-t a -m x -m y",
            "-t a -f {files}/message -s",
            "-t a -m x -i a -I b",
            "-t a -m x -I a -i b",
            "-t a -m x -q 3",
            "-t a -m x -q -1",
            "-t a -m x -k 4",
            "-t a -m x -k 65536",
            "-t a -m x -p 70000",
            "-t a -m x -p -1",
            "-t a -m x -V 4",
            "-t a -m x -V 3.1.1",
            "-t a -m x -M 0",
            "-t a -m x --repeat 0",
            "-t a -m x --repeat-delay -1",
            "-t a -m x --will-qos 3",
            "-t a -m x --will-payload x",
            "-t a -m x --will-retain",
            "-t a -m x --cert {files}/client.pem",
            "-t a -m x --key {files}/client.key",
            "-t a -m x --keyform pem",
            "-t a -m x -c",
            "-t a -m x -c -I a",
            "-t a -m x -c -V 5",
            "-t a -m x -x 5x -V 5",
            "-t a -m x -x -2 -V 5",
            "-t a -m x -x -1 -V 5",
            "-t a -m x -x 4294967296 -V 5",
            "-L foo://x/y -m x",
            "-L mqtt://x -m x",
            "-t a -m x --proxy http://x",
            "-t a -m x --proxy socks5h://127.0.0.1:99999",
        ],
    );
    cases.extend(usage(
        "sub",
        &[
            "",
            "-v",
            "-U a",
            "-t a -C 0",
            "-t a -C -5",
            "-t a -W 0",
            "-t a -F %",
            "-t a -F %y",
            "-t a -F %0",
            "-t a -F %10",
            "-t a -F %.",
            "-t a -F %.5",
            "-t a -F x@",
            "-t a -F '\\'",
            "-t a -F '\\q'",
            "-t a -F '%0-5l'",
            "-t a --random-filter 0",
            "-t a -q 5",
        ],
    ));
    cases.extend(usage(
        "rr",
        &[
            "",
            "-t a",
            "-t a -m x",
            "-t a -e b",
            "-e b -m x",
            "-t a -e b -m x -W 0",
        ],
    ));
    cases
}

fn usage_of_topics() -> Vec<Case> {
    let mut cases = usage(
        "pub",
        &[
            "-t a+ -m x",
            "-t a/# -m x",
            "-t a -m x --will-topic 'a#'",
            "-L mqtt://127.0.0.1/a/# -m x",
        ],
    );
    cases.extend(usage(
        "sub",
        &[
            "-t a/#/b",
            "-t a#",
            "-t a+/b",
            "-t a -T b#",
            "-t a -U b#",
            "-L mqtt://127.0.0.1/a/#/b",
        ],
    ));
    cases.extend(usage("rr", &["-t a -e 'b#' -m x", "-t 'a#' -e b -m x"]));
    cases
}

fn usage_of_properties() -> Vec<Case> {
    usage(
        "pub",
        &[
            "-t a -m x -D",
            "-t a -m x -D publish",
            "-t a -m x -D publish content-type",
            "-t a -m x -D publish user-property a",
            "-t a -m x -D foo content-type x",
            "-t a -m x -D publish foo x",
            "-t a -m x -D publish will-delay-interval 3",
            "-t a -m x -D publish subscription-identifier 3",
            "-t a -m x -D publish reason-string x",
            "-t a -m x -D connect content-type x",
            "-t a -m x -D auth user-property a b",
            "-t a -m x -D puback user-property a b",
            "-t a -m x -D publish message-expiry-interval 99999999999",
            "-t a -m x -D publish message-expiry-interval -1",
            "-t a -m x -D connect receive-maximum 70000",
            "-t a -m x -D publish payload-format-indicator 300",
            "-t a -m x -D connect receive-maximum 0",
            "-t a -m x -D connect maximum-packet-size 0",
            "-t a -m x -D connect request-problem-information 2",
            "-t a -m x -D publish topic-alias 0",
            "-t a -m x -D publish content-type a -D publish content-type b",
            "-t a -m x -V 5 -x 5 -D connect session-expiry-interval 6",
        ],
    )
}

/// Each option that takes a value, at the end of the line.
fn missing_values() -> Vec<Case> {
    let shared = [
        "-A",
        "--cafile",
        "--capath",
        "--cert",
        "-h",
        "--host",
        "-i",
        "--id",
        "-I",
        "--id-prefix",
        "-k",
        "--keepalive",
        "--key",
        "--keyform",
        "-L",
        "--url",
        "-M",
        "-p",
        "--port",
        "-P",
        "--pw",
        "--proxy",
        "-q",
        "--qos",
        "-t",
        "--topic",
        "--tls-alpn",
        "--tls-version",
        "-u",
        "--username",
        "--unix",
        "-V",
        "--protocol-version",
        "--will-payload",
        "--will-qos",
        "--will-topic",
        "-x",
    ];
    let mut cases = usage("sub", &shared);
    cases.extend(usage(
        "pub",
        &[
            "-m",
            "--message",
            "-f",
            "--file",
            "--repeat",
            "--repeat-delay",
        ],
    ));
    cases.extend(usage(
        "sub",
        &[
            "-C",
            "-F",
            "-T",
            "--filter-out",
            "-U",
            "--unsubscribe",
            "-W",
            "--random-filter",
        ],
    ));
    cases.extend(usage("rr", &["-e", "-m", "-f", "-F", "-W"]));
    cases
}

fn unknown_options() -> Vec<Case> {
    let mut cases = usage(
        "pub",
        &[
            "-z",
            "--nothing",
            "-p1883",
            "--port=1883",
            "-e b",
            "-C 1",
            "-E",
            "-F x",
            "-N",
            "--pretty",
            "-R",
            "-T a",
            "-U a",
            "-v",
            "-W 1",
            "--json",
            "stray",
            "-",
        ],
    );
    cases.extend(usage(
        "sub",
        &[
            "-f x",
            "-l",
            "-m x",
            "-n",
            "-r",
            "-s",
            "--repeat 2",
            "-e b",
            "--share a",
        ],
    ));
    cases.extend(usage(
        "rr",
        &[
            "-C 1",
            "-E",
            "-l",
            "-r",
            "--repeat 2",
            "-T a",
            "-U a",
            "--retained-only",
            "--random-filter 5",
        ],
    ));
    cases
}
