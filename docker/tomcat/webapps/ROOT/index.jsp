<%@ page contentType="text/html; charset=UTF-8" session="true" import="java.util.ArrayList, java.util.List, shop.Cart" %><%
    // The node's name is the end of the session id: Tomcat appends the jvmRoute of its server.xml.
    String id = session.getId();
    String node = id.substring(id.indexOf('.') + 1);
    if (session.isNew()) {
        session.setAttribute("user", "Ånna");
        session.setAttribute("visits", 0);
        session.setAttribute("seen", new ArrayList<>(List.of("hat", "shoe")));
        Cart cart = new Cart();
        cart.add("hat", 12, 15);
        cart.add("shoe", 80);
        session.setAttribute("cart", cart);
    }
    session.setAttribute("visits", 1 + (Integer) session.getAttribute("visits"));
%><!DOCTYPE html>
<html>
<head><title>Session on <%= node %></title></head>
<body>
<h1>Served by <%= node %></h1>
<p>Kill this Tomcat, or both and start one again, and reload: the session is still there.</p>
<pre>
node=<%= node %>
session=<%= id %>
new=<%= session.isNew() %>
visits=<%= session.getAttribute("visits") %>
user=<%= session.getAttribute("user") %>
seen=<%= session.getAttribute("seen") %>
cart=<%= session.getAttribute("cart") %>
</pre>
</body>
</html>
