<%@ page contentType="text/html; charset=UTF-8" session="true" %><%
    // The node's name is the end of the session id: Tomcat appends the jvmRoute of its server.xml.
    String id = session.getId();
    String node = id.contains(".") ? id.substring(id.indexOf('.') + 1) : "(no jvmRoute)";
    Integer count = (Integer) session.getAttribute("count");
    count = count == null ? 1 : count + 1;
    session.setAttribute("count", count);
%><!DOCTYPE html>
<html>
<head><title>Session on <%= node %></title></head>
<body>
<h1>Served by <%= node %></h1>
<p>Reload the page: as long as the session sticks, the node stays and the counter rises.</p>
<pre>
node=<%= node %>
session=<%= id %>
new=<%= session.isNew() %>
count=<%= count %>
</pre>
<p><a href="<%= response.encodeURL(request.getRequestURI()) %>">The same page, by link</a></p>
</body>
</html>
