// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/** What an application keeps in a session: a class of its own, with an enum, an array and a way back to itself. */
public class Cart implements Serializable {
    private static final long serialVersionUID = 1L;

    public enum Delivery { POST, PICKUP }

    /** One line; it knows the cart it lies in. */
    public static class Line implements Serializable {
        private static final long serialVersionUID = 1L;
        private final Cart cart;
        private final String article;
        private final int[] prices;

        Line(Cart cart, String article, int... prices) {
            this.cart = cart;
            this.article = article;
            this.prices = prices;
        }
    }

    private final List<Line> lines = new ArrayList<>();
    private final Delivery delivery = Delivery.PICKUP;

    public void add(String article, int... prices) {
        lines.add(new Line(this, article, prices));
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(delivery.name());
        for (Line line : lines) {
            text.append(' ').append(line.article).append(java.util.Arrays.toString(line.prices));
            if (line.cart != this) {
                text.append(" (of another cart)");
            }
        }
        return text.toString();
    }
}
