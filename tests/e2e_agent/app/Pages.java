// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.IOException;
import java.util.List;

import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;

/** The last part of the path says what to do; the answer is lines of name=value. */
public class Pages extends HttpServlet {
    private static final long serialVersionUID = 1;

    /** An application that is slow to start, if its web.xml says so: Tomcat takes connections meanwhile, and serves none. */
    @Override
    public void init() throws ServletException {
        String wait = getInitParameter("wait");
        try {
            Thread.sleep(wait == null ? 0 : Long.parseLong(wait));
        } catch (InterruptedException e) {
            throw new ServletException(e);
        }
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
        StringBuilder out = new StringBuilder();
        String path = request.getPathInfo() == null ? "/" : request.getPathInfo();
        String name = request.getParameter("name");
        String value = request.getParameter("value");
        switch (path) {
            case "/set" -> request.getSession().setAttribute(name, value);
            case "/remove" -> request.getSession().removeAttribute(name);
            case "/number" -> request.getSession().setAttribute(name, Integer.valueOf(value));
            case "/fill" -> new Values().all().forEach(request.getSession()::setAttribute);
            case "/check" -> check(request, out);
            case "/pair" -> pair(request.getSession(), Integer.parseInt(value));
            case "/pair-check" -> pairCheck(request, out);
            case "/unwritable" -> request.getSession().setAttribute("unwritable", new Kinds.Unwritable());
            case "/login" -> {
                request.getSession();
                request.login(name, value);
            }
            case "/change-id" -> {
                request.getSession();
                request.changeSessionId();
            }
            case "/end" -> request.getSession().invalidate();
            case "/idle" -> request.getSession().setMaxInactiveInterval(Integer.parseInt(value));
            default -> { }
        }
        if (!path.equals("/")) {
            about(request, path.equals("/end") ? null : request.getSession(false), name, out);
        }
        response.setContentType("text/plain;charset=UTF-8");
        response.getWriter().print(out);
    }

    private static void about(HttpServletRequest request, HttpSession session, String name, StringBuilder out) {
        out.append("session=").append(session == null ? "none" : session.getId()).append('\n');
        out.append("user=").append(request.getRemoteUser()).append('\n');
        out.append("auth=").append(request.getAuthType()).append('\n');
        out.append("buyer=").append(request.isUserInRole("buyer")).append('\n');
        out.append("admin=").append(request.isUserInRole("admin")).append('\n');
        if (session != null) {
            out.append("new=").append(session.isNew()).append('\n');
            out.append("idle=").append(session.getMaxInactiveInterval()).append('\n');
            out.append("created=").append(session.getCreationTime()).append('\n');
            out.append("value=").append(name == null ? null : session.getAttribute(name)).append('\n');
        }
    }

    private static void check(HttpServletRequest request, StringBuilder out) {
        HttpSession session = request.getSession(false);
        Values values = new Values();
        List<String> wrong = values.wrong(name -> session == null ? null : session.getAttribute(name));
        out.append("good=").append(values.all().size() - wrong.size()).append('\n');
        out.append("wrong=").append(wrong).append('\n');
    }

    /** Two attributes that one request sets: whoever has one must have the other. */
    private static void pair(HttpSession session, int number) {
        int[] numbers = new int[number % 97 + 1];
        java.util.Arrays.fill(numbers, number);
        session.setAttribute("left", numbers);
        session.setAttribute("right", Integer.toString(number));
    }

    private static void pairCheck(HttpServletRequest request, StringBuilder out) {
        HttpSession session = request.getSession(false);
        int[] left = session == null ? null : (int[]) session.getAttribute("left");
        String right = session == null ? null : (String) session.getAttribute("right");
        out.append("pair=").append(right).append('\n');
        boolean whole = left != null && right != null && left.length == Integer.parseInt(right) % 97 + 1;
        if (whole) {
            for (int number : left) {
                whole &= number == Integer.parseInt(right);
            }
        }
        out.append("whole=").append(whole).append('\n');
    }
}
