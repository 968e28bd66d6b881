// SPDX-License-Identifier: Apache-2.0
package shop;

import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Predicate;

import shop.Kinds.Bare;
import shop.Kinds.Colour;
import shop.Kinds.Greeting;
import shop.Kinds.Handler;
import shop.Kinds.Lambda;
import shop.Kinds.Node;
import shop.Kinds.Outer;
import shop.Kinds.Point;
import shop.Kinds.Replaced;
import shop.Kinds.Written;

/** Attributes of a session, and what they must be after their way through other processes. */
class Values {
    private final Map<String, Object> values = new LinkedHashMap<>();
    private final Map<String, Predicate<Object>> checks = new LinkedHashMap<>();

    Values() {
        plain();
        objects();
        shared();
    }

    Map<String, Object> all() { return values; }

    /** The names of attributes that are missing or wrong. */
    List<String> wrong(Function<String, Object> attributes) {
        List<String> wrong = new ArrayList<>();
        checks.forEach((name, check) -> {
            Object value = attributes.apply(name);
            try {
                if (value == null || !check.test(value)) {
                    wrong.add(name + ":" + value);
                }
            } catch (RuntimeException error) {
                wrong.add(name + ":" + error);
            }
        });
        return wrong;
    }

    private void put(String name, Object value, Predicate<Object> check) {
        values.put(name, value);
        checks.put(name, check);
    }

    /** One that can be compared. */
    private void same(String name, Object value) { put(name, value, other -> other.equals(value)); }

    private void plain() {
        same("string", "text");
        same("integer", 42);
        same("list", new ArrayList<>(List.of("a", 1, 2.5, 'c', true)));
        same("empty", "");
        same("odd", "nul \u0000, \u00e9, \u20ac, emoji \ud83d\ude00, half \ud83d");
        StringBuilder big = new StringBuilder();
        for (int i = 0; i < 30_000; i++) {
            big.append("big\u00e9").append(i % 10);
        }
        same("big", big.toString());
        put("bytes", new byte[] {0, -1, 7}, other -> Arrays.equals((byte[]) other, new byte[] {0, -1, 7}));
        int[][] table = {{1, 2, 3}, {}, {Integer.MIN_VALUE}};
        put("table", table, other -> Arrays.deepEquals((int[][]) other, table));
        same("class", Node.class);
        put("classes", new Class<?>[] {int.class, String[].class, Greeting.class},
            other -> Arrays.equals((Class<?>[]) other, new Class<?>[] {int.class, String[].class, Greeting.class}));
        same("date", new Date(1_234_567_890_123L));
        same("time", LocalDateTime.of(2024, 2, 29, 23, 59, 58, 999_999_999));
        same("zoned", ZonedDateTime.of(2024, 7, 1, 1, 2, 3, 4, ZoneId.of("Europe/Paris")));
        same("duration", Duration.ofNanos(-1));
        same("decimal", new BigDecimal("-12345678901234567890.0123456789"));
        same("whole", BigInteger.TWO.pow(200).negate());
        same("uuid", new UUID(1, -2));
        same("locale", Locale.forLanguageTag("fr-CA"));
    }

    private void objects() {
        same("hash-set", new HashSet<>(Set.of("x", 2, 3L)));
        same("enum", Colour.GREEN);
        same("enum-set", EnumSet.of(Colour.RED));
        same("enum-map", new EnumMap<>(Map.of(Colour.RED, "r", Colour.GREEN, "g")));
        same("tree", new TreeMap<>(Map.of("b", List.of(1, 2), "a", Map.of("deep", Map.of("deeper", Set.of(1))))));
        same("concurrent", new ConcurrentHashMap<>(Map.of("k", new ArrayList<>(List.of('v')))));
        HashMap<Object, Object> map = new HashMap<>();
        map.put(null, "null key");
        map.put(1, null);
        map.put(Colour.RED, new HashMap<>(Map.of("inner", 1.0f)));
        same("map", map);
        same("linked", new LinkedList<>(List.of(1, 2, 3)));
        put("deque", new ArrayDeque<>(List.of(1, 2)), other -> new ArrayList<>((ArrayDeque<?>) other).equals(List.of(1, 2)));
        same("bits", BitSet.valueOf(new long[] {5, 0, 9}));
        same("immutable", List.of(Map.of("k", 1), Set.of(2)));
        same("record", new Point(-7, "y", Colour.GREEN));
        put("written", new Written("w", 9, List.of("z")), other -> other instanceof Written one
            && one.text.equals("w") && one.number == 9 && one.other.equals(List.of("z")) && one.weight == 1.5);
        put("bare", new Bare("b", -5), other -> other instanceof Bare one && one.text.equals("b") && one.number == -5);
        put("bare-twice", new ArrayList<>(List.of(new Bare("1", 1), "between", new Bare("2", 2))),
            other -> ((Bare) ((List<?>) other).get(2)).number == 2 && ((List<?>) other).get(1).equals("between"));
        Outer outer = new Outer();
        outer.text = "outside";
        outer.other = outer;
        put("outer", outer, other -> other instanceof Outer one && one.text.equals("outside") && one.other == one);
        put("replaced", new Replaced("r"), other -> other instanceof Replaced one && one.text.equals("r"));
        Object proxy = Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] {Greeting.class}, new Handler());
        put("proxy", proxy, other -> ((Greeting) other).greet("you").equals("Hello you"));
        String captured = "captured";
        put("lambda", (Lambda) () -> captured + "!", other -> ((Lambda) other).get().equals("captured!"));
        Exception error = new IllegalStateException("why", new RuntimeException("because"));
        error.addSuppressed(new Error("also"));
        put("error", error, other -> other instanceof IllegalStateException one && one.getMessage().equals("why")
            && one.getCause().getMessage().equals("because") && one.getSuppressed()[0] instanceof Error
            && Objects.equals(one.getStackTrace()[0].getMethodName(), error.getStackTrace()[0].getMethodName()));
    }

    private void shared() {
        Node root = new Node("root");
        Node child = new Node("child");
        child.parent = root;
        root.children.add(child);
        root.ring = new Node[] {child, root, child};
        put("cycle", root, other -> {
            Node one = (Node) other;
            Node two = one.children.get(0);
            return one != root && one.self == one && two.parent == one && one.ring[0] == two && one.ring[1] == one
                && one.ring[2] == two && one.colour == Colour.GREEN && one.colour.isCalm() && one.numbers[0][1] == 2
                && one.numbers[2] == null && one.left == null && two.name.equals("child") && two.self == two;
        });
        List<String> list = new ArrayList<>(List.of("in both"));
        Object[] both = {list, list, "text".toCharArray(), null};
        put("both", both, other -> ((Object[]) other)[0] == ((Object[]) other)[1]
            && ((Object[]) other)[0].equals(list) && ((Object[]) other)[3] == null && ((char[]) ((Object[]) other)[2])[3] == 't');
        List<Object> inside = new ArrayList<>();
        inside.add(inside);
        put("itself", inside, other -> ((List<?>) other).get(0) == other);
        Node chain = new Node("0");
        for (int i = 1; i < 200; i++) {
            Node next = new Node(Integer.toString(i));
            next.parent = chain;
            chain = next;
        }
        put("chain", chain, other -> {
            int length = 0;
            for (Node node = (Node) other; node != null; node = node.parent) {
                length++;
            }
            return length == 200;
        });
        // Shared between attributes: each has its own after a restart, equal to the other.
        Point point = new Point(1, "shared", Colour.RED);
        same("one-of-two", point);
        same("other-of-two", point);
    }
}
