// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.Externalizable;
import java.io.IOException;
import java.io.ObjectInput;
import java.io.ObjectInputStream;
import java.io.ObjectOutput;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** Classes of an application, of every kind that serialization treats in its own way. */
class Kinds {
    enum Colour { RED, GREEN { @Override boolean isCalm() { return true; } }; boolean isCalm() { return false; } }

    /** In a circle with itself and others, with an enum and arrays. */
    static class Node implements Serializable {
        private static final long serialVersionUID = 1;
        String name;
        Node self = this;
        Node parent;
        List<Node> children = new ArrayList<>();
        Colour colour = Colour.GREEN;
        int[][] numbers = {{1, 2}, {}, null};
        Node[] ring;
        transient String left = "not sent";

        Node(String name) { this.name = name; }
    }

    static class Base implements Serializable {
        private static final long serialVersionUID = 2;
        double weight = 1.5;
    }

    /** Its own writeObject adds data behind the fields. */
    static class Written extends Base {
        private static final long serialVersionUID = 3;
        String text;
        transient int number;
        transient Object other;

        Written(String text, int number, Object other) { this.text = text; this.number = number; this.other = other; }

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeInt(number);
            out.writeObject(other);
            out.writeUTF("end");
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            number = in.readInt();
            other = in.readObject();
            if (!"end".equals(in.readUTF())) {
                throw new IOException("the end of Written");
            }
        }
    }

    /** It has fields, and its writeObject writes none of them. */
    static class Bare implements Serializable {
        private static final long serialVersionUID = 4;
        String text;
        long number;

        Bare(String text, long number) { this.text = text; this.number = number; }

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.writeUTF(text);
            out.writeLong(number);
        }

        private void readObject(ObjectInputStream in) throws IOException {
            text = in.readUTF();
            number = in.readLong();
        }
    }

    /** All by itself. */
    public static class Outer implements Externalizable {
        private static final long serialVersionUID = 5;
        String text = "";
        Object other;

        public Outer() { }

        @Override
        public void writeExternal(ObjectOutput out) throws IOException {
            out.writeInt(text.length());
            out.writeChars(text);
            out.writeObject(other);
            out.write(new byte[2000]);
        }

        @Override
        public void readExternal(ObjectInput in) throws IOException, ClassNotFoundException {
            char[] chars = new char[in.readInt()];
            for (int i = 0; i < chars.length; i++) {
                chars[i] = in.readChar();
            }
            text = new String(chars);
            other = in.readObject();
            in.readFully(new byte[2000]);
        }
    }

    /** Stands in for another object in the stream. */
    static class Replaced implements Serializable {
        private static final long serialVersionUID = 6;
        final String text;

        Replaced(String text) { this.text = text; }

        private Object writeReplace() { return new Stand(text); }
    }

    static class Stand implements Serializable {
        private static final long serialVersionUID = 7;
        final String text;

        Stand(String text) { this.text = text; }

        private Object readResolve() { return new Replaced(text); }
    }

    record Point(int x, String y, Colour colour) implements Serializable { }

    interface Greeting { String greet(String name); }

    interface Lambda extends Supplier<String>, Serializable { }

    static class Handler implements InvocationHandler, Serializable {
        private static final long serialVersionUID = 8;
        String word = "Hello ";

        @Override
        public Object invoke(Object proxy, Method method, Object[] arguments) { return word + arguments[0]; }
    }

    /** A field that cannot be written, deep inside. */
    static class Unwritable implements Serializable {
        private static final long serialVersionUID = 9;
        Object inner = new Object();
    }
}
